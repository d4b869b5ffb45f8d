"""The keys. Add one here, bind it with `bind`, and write docs/keys.md: python docs/site/keys_page.py."""

from __future__ import annotations

from napari_ctseg.keys.gesture import Gesture, Group, Place

NUMBERS = tuple("123456789")

HELP = Gesture(("F1",), "Shows this list", Group.VIEWER)
LAYOUT = Gesture(("Q",), "One plane, one large and two small, three of the same size", Group.VIEWER)
MOUSE = Gesture(("W",), "Switches the radiology mouse on or off", Group.VIEWER)

PRESET = Gesture(
    NUMBERS,
    "Sets a window of the dock, if its number keys are on",
    Group.WINDOW,
    Place.IMAGE,
    "switches between pan/zoom and transform (1 and 2)",
    shown="1 to 9",
)
PRESET_ANYWHERE = Gesture(
    tuple(f"Alt+{number}" for number in NUMBERS),
    "Sets a window of the dock, whichever layer is selected",
    Group.WINDOW,
    shown="Alt+1 to Alt+9",
)

ADD_MODEL = Gesture(("Ctrl+Shift+M",), "Adds a model", Group.RUN)
DRAW_BOX = Gesture(("Ctrl+Shift+B",), "Draws the box in which to segment", Group.RUN)
ESTIMATE = Gesture(("Ctrl+Shift+E",), "Estimates the time and memory of a run", Group.RUN)
RUN = Gesture(("Ctrl+Return",), "Runs the model", Group.RUN)
CANCEL = Gesture(("Ctrl+Shift+X",), "Cancels the run", Group.RUN)

WORSE = Gesture(("N",), "Next-worst slice, beginning with the worst", Group.COMPARE)
MISSED = Gesture(("Shift+N",), "Next slice with a label that is missed", Group.COMPARE)
NEXT_ROW = Gesture(("J",), "Next lesion or component of the list", Group.COMPARE)
LAST_ROW = Gesture(("Shift+J",), "Previous lesion or component of the list", Group.COMPARE)

RULER = Gesture(("Shift+R",), "Ruler", Group.MEASURE)
ANGLE = Gesture(("Shift+G",), "Angle", Group.MEASURE)
RECIST = Gesture(("Shift+D",), "RECIST pair", Group.MEASURE)
ELLIPSE = Gesture(("Shift+C",), "Circle or ellipse", Group.MEASURE)
RECTANGLE = Gesture(("Shift+B",), "Rectangle", Group.MEASURE)
POLYGON = Gesture(("Shift+O",), "Polygon", Group.MEASURE)
REMOVE_SHAPE = Gesture(
    ("Delete", "Backspace"),
    "Removes the selected measurement; takes back the last corner of a polygon",
    Group.MEASURE,
    Place.MEASUREMENTS,
    "removes the shape without undo",
)
UNDO_SHAPE = Gesture(
    ("Ctrl+Z",), "Undoes the last shape, change or removal", Group.MEASURE, Place.MEASUREMENTS
)
END_TOOL = Gesture(
    ("Esc",), "Drops the shape, then puts the tool away", Group.MEASURE, Place.MEASUREMENTS, "ends the shape"
)
CLOSE_SHAPE = Gesture(("Enter",), "Closes the polygon", Group.MEASURE, Place.MEASUREMENTS, "ends the shape")
REMOVE_ROW = Gesture(("Delete", "Backspace"), "Removes the measurement of the row", Group.MEASURE, Place.ROWS)
GO_TO_ROW = Gesture(("Return", "Enter"), "Goes to the slice of the row", Group.MEASURE, Place.ROWS)

GROW = Gesture(("Ctrl+Shift+G",), "Grow from seeds", Group.CORRECT)
SWAP_STROKES = Gesture(
    ("X",), "Strokes inside or outside", Group.CORRECT, Place.STROKES, "swaps label and background"
)
GROW_IN_BOX = Gesture(
    ("B",),
    "Draws the box in which the structure grows",
    Group.CORRECT,
    Place.STROKES,
    "protects the other labels, or not",
)
ACCEPT_GROWN = Gesture(
    ("Enter",), "Adds the white outline to the class", Group.CORRECT, Place.STROKES, "closes the polygon"
)
DISCARD_GROWN = Gesture(
    ("Esc",), "Discards strokes and outline", Group.CORRECT, Place.STROKES, "drops the polygon"
)

REFINE = Gesture(("Ctrl+Shift+F",), "Refine: another volume by the model's probabilities", Group.CORRECT)
PROPAGATE = Gesture(
    ("Ctrl+Shift+K",), "Propagate: the correction of this slice in its neighbours too", Group.CORRECT
)
SNAP = Gesture(("Ctrl+Shift+L",), "Snap: outline the class along the strongest edge", Group.CORRECT)
APPLY_PREVIEW = Gesture(
    ("Enter",),
    "Applies what Refine or Propagate shows; closes the line of Snap",
    Group.CORRECT,
    Place.LABELS,
    "closes the polygon",
)
CANCEL_PREVIEW = Gesture(
    ("Esc",), "Cancels Refine, Propagate or Snap", Group.CORRECT, Place.LABELS, "drops the polygon"
)

ACCEPT_COMPONENT = Gesture(
    ("U",), "Accepts the component under the pointer from the other label map", Group.CORRECT
)
ACCEPT_SLICE = Gesture(
    ("Shift+U",), "Accepts the class under the pointer from the other label map, in this slice", Group.CORRECT
)
ACCEPT_CLASS = Gesture(
    ("Ctrl+Shift+U",), "Accepts all of the class under the pointer from the other label map", Group.CORRECT
)
RELABEL = Gesture(("Shift+T",), "The component under the pointer becomes the selected class", Group.CORRECT)
DELETE_COMPONENT = Gesture(("Shift+X",), "Deletes the component under the pointer", Group.CORRECT)
MERGE = Gesture(("Shift+M",), "The class under the pointer is merged into the selected class", Group.CORRECT)
SPLIT = Gesture(("Shift+S",), "Splits the class under the pointer into its components", Group.CORRECT)

SLICE_REVIEWED = Gesture(("K",), "Marks the slice as reviewed, or takes that back", Group.CORRECT)
SLICE_NEEDS_WORK = Gesture(("H",), "Marks that the slice needs work, or takes that back", Group.CORRECT)
CLASS_REVIEWED = Gesture(
    ("Shift+K",), "Marks the selected class as reviewed, or takes that back", Group.CORRECT
)
CLASS_NEEDS_WORK = Gesture(
    ("Shift+H",), "Marks that the selected class needs work, or takes that back", Group.CORRECT
)
NEXT_UNREVIEWED = Gesture(("G",), "Next slice that is not reviewed", Group.CORRECT)
NEXT_NEEDS_WORK = Gesture(("Ctrl+Shift+H",), "Next slice that needs work", Group.CORRECT)

OPEN_SERIES = Gesture(("Return", "Enter"), "Opens the selected series", Group.LISTS, Place.SERIES)

WITH_THE_MOUSE = tuple(
    Gesture((), does, Group.MOUSE, shown=shown)
    for shown, does in (
        ("Wheel", "Next or previous slice"),
        ("Ctrl+wheel", "Zoom about the pointer"),
        ("Middle button, drag", "Pan"),
        ("Right button, drag", "Window: left and right its width, up and down its level"),
        ("Double click", "This plane alone; again: the previous layout"),
    )
)

TABLE: tuple[Gesture, ...] = (
    *(HELP, LAYOUT, MOUSE, *WITH_THE_MOUSE),
    *(PRESET, PRESET_ANYWHERE),
    *(ADD_MODEL, DRAW_BOX, ESTIMATE, RUN, CANCEL),
    *(WORSE, MISSED, NEXT_ROW, LAST_ROW),
    *(RULER, ANGLE, RECIST, ELLIPSE, RECTANGLE, POLYGON),
    *(REMOVE_SHAPE, UNDO_SHAPE, END_TOOL, CLOSE_SHAPE, REMOVE_ROW, GO_TO_ROW),
    *(GROW, SWAP_STROKES, GROW_IN_BOX, ACCEPT_GROWN, DISCARD_GROWN),
    *(REFINE, PROPAGATE, SNAP, APPLY_PREVIEW, CANCEL_PREVIEW),
    *(ACCEPT_COMPONENT, ACCEPT_SLICE, ACCEPT_CLASS),
    *(RELABEL, DELETE_COMPONENT, MERGE, SPLIT),
    *(SLICE_REVIEWED, SLICE_NEEDS_WORK, CLASS_REVIEWED, CLASS_NEEDS_WORK),
    *(NEXT_UNREVIEWED, NEXT_NEEDS_WORK),
    OPEN_SERIES,
)
