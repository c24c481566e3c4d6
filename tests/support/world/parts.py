"""A tree without the actors that a test does not need."""

from attrs import evolve

from callboard.actors.messages.paths import RESPONDERS


def only(spec, parts, modules):
    """The tree with these children alone, and the responders of these modules."""

    def kept(child):
        if child.id != RESPONDERS:
            return child
        responders = (one for one in child.args.children if one.id in modules)
        return evolve(child, args=evolve(child.args, children=tuple(responders)))

    return evolve(spec, children=tuple(kept(c) for c in spec.children if c.id in parts))
