"""``report.html``: one run, or several beside each other, as one page that asks nothing of the network."""

from snnas.toolchain.html.comparison import compared as compared
from snnas.toolchain.html.comparison import write_comparison as write_comparison
from snnas.toolchain.html.page import write_html as write_html
