"""The search of a run: what is asked for, the methods, who evaluates candidates, budgets and costs, and the front.

Begin a run with ``begin_search``, and go through with it, now or later, with ``find_network``. A search method is a
``Runner``, and an entry of ``methods.RUNNERS``. Importing the room loads no torch.
"""

from typing import TYPE_CHECKING

from snnas.toolchain import lazily

if TYPE_CHECKING:
    from snnas.toolchain.searching.begin import begin_search as begin_search
    from snnas.toolchain.searching.find import find_network as find_network
    from snnas.toolchain.searching.methods import RUNNERS as RUNNERS
    from snnas.toolchain.searching.options import SearchOptions as SearchOptions
    from snnas.toolchain.searching.runner import Runner as Runner

__getattr__ = lazily(
    __name__,
    {
        "begin_search": "begin",
        "find_network": "find",
        "RUNNERS": "methods",
        "SearchOptions": "options",
        "Runner": "runner",
    },
)
