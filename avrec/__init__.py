"""avrec: recommends audio and video from what the media contain and what people did with them."""

__version__ = "0.1.0"
