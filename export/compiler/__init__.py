"""The compiler: network -> deployed graph (``fold``) -> circuit -> schedule -> program (``compile``), each verified."""
