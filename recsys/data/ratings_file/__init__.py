"""Reading ratings from delimited text.

`read.read_ratings` is the entry point. It first tries the columnar reader (`fast`). If the text has a bad
row, it uses the row-by-row reader (`strict`), which reports or drops the bad row.
"""
