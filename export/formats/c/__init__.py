"""A program as C99: freestanding, in whole numbers, spike for spike what the simulators compute."""

from snnas.export.formats.c.encoder_trial import Trial as Trial
from snnas.export.formats.c.encoder_trial import encoder_trial as encoder_trial
from snnas.export.formats.c.folder import SOURCES as SOURCES
from snnas.export.formats.c.folder import texts_of as texts_of
from snnas.export.formats.c.folder import write_c as write_c
from snnas.export.formats.c.plan import Plan as Plan
from snnas.export.formats.c.plan import plan as plan
from snnas.export.formats.c.traces import Compared as Compared
from snnas.export.formats.c.traces import c_model as c_model
from snnas.export.formats.c.traces import compare as compare
from snnas.export.formats.c.traces import frames as frames
