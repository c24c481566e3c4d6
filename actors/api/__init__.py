"""The server of the REST API: a thread in the actor `ApiServer`, which sends its requests.

The libraries of the web application are imported only in that thread.
"""
