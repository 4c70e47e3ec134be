"""Media files, contained: where they are, what they hold, and the few frames and seconds we look at.

Everything that touches a byte of an unknown file runs in a worker process (`avrec.media.pool`) under limits of
time, memory, pixels, duration and streams. A worker may hang or die; the run goes on and the file gets a reason.
"""
