"""The pages of the node: the worklist for the radiologist, queue and settings for the administrator.

Starlette and FastAPI answer, Jinja2 writes the pages, htmx keeps them alive; everything is served from here, since
hospitals have no internet. What a page does, the JSON interface under ``/api`` does too, by the same functions.
"""
