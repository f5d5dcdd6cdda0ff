"""Show a model in a browser: an app of Gradio that this Python process computes for, and its Hub Space."""

from prompteol.demo.app import build_app, launch_app, look
from prompteol.demo.panels import Panels
from prompteol.demo.space import write_space

__all__ = ["Panels", "build_app", "launch_app", "look", "write_space"]
