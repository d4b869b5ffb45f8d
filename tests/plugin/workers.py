"""A worker without a thread, for tests of controllers."""


def at_once(function, on_done, on_error):
    """What a worker does, without a thread."""
    try:
        value = function()
    except Exception as error:  # noqa: BLE001 - what a thread's edge does
        on_error(error)
    else:
        on_done(value)
