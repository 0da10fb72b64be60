"""Tools that change or tell what is stored: each is a verb of `make`.

import_businesses     declare many businesses from a file
restore               bring settings back from a restored table
replay                publish transitions again
"""
