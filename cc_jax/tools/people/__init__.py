"""Renders the people that synthetic scenes are composed of: `render_people` puts them together."""
