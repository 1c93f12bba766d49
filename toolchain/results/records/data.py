"""[data] of run.toml: the data set, and how it was read."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from snnas.toolchain.results.record import Count, OrAbsent, Positive, Record, Sha256


class DataOptions(Record):
    """[data.options]: what the set takes beside its name."""

    data_dir: OrAbsent[str] = None
    """Folder of the data sets, of this machine."""
    frames: OrAbsent[Positive] = None
    """Frames per recording."""
    split_by: OrAbsent[Literal["count", "time", "duration", "event_count"]] = None
    """How a recording is cut into frames."""
    duration: OrAbsent[Positive] = None
    """Microseconds of a frame."""
    event_count: OrAbsent[Positive] = None
    """Events of a frame."""
    overlap: OrAbsent[Positive] = None
    """Microseconds, or events, that a frame shares with the one before it."""
    slice: OrAbsent[Positive] = None
    """Recordings were cut into samples by this: microseconds, or what slice_by says; of signals, their samples."""
    slice_by: OrAbsent[Literal["count", "time", "duration", "event_count"]] = None
    """How a recording is cut into samples."""
    slice_overlap: OrAbsent[Positive] = None
    """Microseconds, events or samples of a signal that a sample shares with the one before it."""
    crop: OrAbsent[str] = None
    """WIDTHxHEIGHT of the middle of the sensor, where the rest was cut off."""
    polarity: OrAbsent[Literal["both", "merged", "on", "off"]] = None
    """Which events, in how many channels."""
    hot_pixels: OrAbsent[Positive] = None
    """How many times the events of its busiest neighbour make a pixel a hot one, which is left out."""
    transform: OrAbsent[str] = None
    """tonic's transforms of the events, before frames are made."""
    augment: OrAbsent[str] = None
    """tonic's transforms of training recordings, drawn anew for every epoch."""
    sensor: OrAbsent[str] = None
    """WIDTHxHEIGHT of the user's recordings."""
    downsample: OrAbsent[Positive] = None
    """Pixels of the sensor per pixel and side."""
    counts: OrAbsent[bool] = None
    """Whether frames hold counts of events, or spikes."""
    layout: OrAbsent[str] = None
    """Axes of x in the user's file, such as NHWC."""
    background: OrAbsent[Literal["white", "black"]] = None
    """What shows where pictures are transparent."""
    groups: OrAbsent[str] = None
    """What says which samples belong together and were not parted."""
    class_weights: OrAbsent[Literal["balanced"]] = None
    """How the loss weighs classes."""
    axis: OrAbsent[Literal["time", "length"]] = None
    """What a signal's time is: the network's, or one side of a still map."""
    window: OrAbsent[Positive] = None
    """Samples of a signal in a frame."""
    hop: OrAbsent[Positive] = None
    """Samples from the start of a frame to that of the next."""
    length: OrAbsent[Positive] = None
    """Samples of a signal: longer ones are cut, shorter ones hold their last value."""
    fit: OrAbsent[Literal["hold", "stretch"]] = None
    """How signals of another length get that one."""
    encoder: OrAbsent[Literal["direct", "delta", "level", "latency"]] = None
    """What makes spikes of a signal's values."""
    threshold: OrAbsent[Annotated[float, Field(gt=0)]] = None
    """Of the encoder delta, in standard deviations of a channel."""
    levels: OrAbsent[Positive] = None
    """Of the encoder level: how many a channel has."""
    steps: OrAbsent[Positive] = None
    """Of the encoder latency: timesteps of a frame."""
    train_limit: OrAbsent[Positive] = None
    """Training samples kept."""


class DataTable(Record):
    """[data] of run.toml: the data set."""

    name: str
    """A set's name, or the path that was given."""
    path: OrAbsent[str] = None
    """The user's file or folder, absolute, of this machine."""
    options: OrAbsent[DataOptions] = None
    """What the set takes beside its name."""
    summary: OrAbsent[str] = None
    """What was read, in one line."""
    notes: OrAbsent[list[str]] = None
    """What was left out or read otherwise than one may think, and copies of training samples that are to test."""
    sha256: Sha256
    """Of x and y, as they are stored."""
    train: Count
    """Training samples."""
    val: Count
    """Validation samples."""
    test: Count
    """Test samples."""
