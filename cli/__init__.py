"""The command line: `main`, and one room for each group of commands."""

import click

from callboard.cli.terminal.command_line import CommandLine, Later

COMMANDS = (
    ("start", "system.lifecycle:start", "Run the system in the foreground."),
    (
        "join",
        "system.lifecycle:join",
        "Run deliverers for a node on another machine, in the foreground.",
    ),
    ("stop", "system.state:stop", "Stop the running system in order, and wait for its end."),
    (
        "status",
        "system.state:status",
        "Show whether a system is running and complete (exit code 0), or not (1).",
    ),
    ("tree", "system.state:tree", "Show the live supervision tree."),
    (
        "top",
        "system.top:top",
        "Watch the tree, rates, latencies, endpoints and the retry queue; q ends it.",
    ),
    (
        "health",
        "system.metrics:health",
        "Show whether the node is ready (exit code 0), or why it is not (1).",
    ),
    ("metrics", "system.metrics:metrics", "Print all metrics in Prometheus' text format."),
    (
        "publish",
        "events.publishing:publish",
        "Publish events from FILE or standard input, through the running system.",
    ),
    (
        "explain",
        "events.explaining:explain",
        "Explain what the event in FILE would do, step by step, and why.",
    ),
    ("events", "events.showing:events", "What became of events."),
    (
        "hooks",
        "hooks.commands:hooks",
        "Add, show, change and remove hooks, and manage their secrets.",
    ),
    (
        "apply",
        "hooks.declaring:apply_",
        "Make the hooks and quotas of FILE's accounts as FILE says.",
    ),
    (
        "export",
        "hooks.declaring:export",
        "Print hooks and quotas in the form that `callboard apply` reads, by account and id.",
    ),
    ("deliveries", "hooks.deliveries:deliveries", "Deliveries that have not ended yet."),
    (
        "attempts",
        "operations.attempts:attempts",
        "List and show stored attempts: requests of deliveries, with their responses.",
    ),
    (
        "tokens",
        "operations.tokens:tokens",
        "Manage the tokens that give accounts access to the API.",
    ),
    ("portal", "operations.portal:portal", "Give an account's users access to the dashboard."),
    (
        "modules",
        "events.modules:modules",
        "List the event modules, create your own, or remove one.",
    ),
    (
        "dead-letters",
        "operations.dead_letters:dead_letters",
        "Manage exhausted deliveries and quarantined events.",
    ),
    (
        "replay",
        "operations.replay:replay",
        "Send a hook's deliveries of a period again, RATE per second, from their stored attempts.",
    ),
    (
        "test-hook",
        "operations.replay:test_hook",
        "Send a sample event to a hook now, and print request, response and timing.",
    ),
    (
        "maintenance",
        "operations.maintenance:maintenance",
        "Run the commands of Kazoo's `sup webhooks_maintenance`.",
    ),
    (
        "kazoo",
        "operations.kazoo:kazoo",
        "Prepare to take the place of Kazoo's webhooks application.",
    ),
    ("config", "system.configuration:config", "Show the configuration."),
    (
        "demo",
        "tryout.demo:demo",
        "Run a demonstration: events in, webhooks out, and processes killed in between.",
    ),
    (
        "listen",
        "tryout.listen:listen",
        "Receive webhooks on this machine and show them, for development and trials.",
    ),
    (
        "doctor",
        "doctor:doctor",
        "Find problems that prevent Callboard from working, and print how to fix them.",
    ),
    (
        "plan",
        "planning.plan:plan_",
        "Calculate the machines for a load: nodes, broker, connections, network, storage.",
    ),
    (
        "completion",
        "terminal.completion:completion",
        "Print the script that completes commands, options and event types in SHELL.",
    ),
)
"""Name, place below `callboard.cli`, and the first sentence of its help."""


@click.group(
    cls=CommandLine,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(None, "-V", "--version", package_name="callboard", prog_name="callboard")
def main() -> None:
    """Callboard turns AMQP events into webhooks.

    Without configuration it uses the embedded broker and store; `callboard demo` shows it at work.
    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 there are differences (`apply`).
    """


for name, place, short_help in COMMANDS:
    main.add_command(Later(name, f"{__name__}.{place}", short_help))
