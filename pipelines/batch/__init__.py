"""Many maps at once, on any number of machines, whatever happens to them on the way.

`run` is the command; the others are what it is made of, in the order of its course: `jobs`
(`table`, `columns`, `faults`), `worklist`, `tiling`, `inputs`, `tile`, `cluster`, `engine`,
`course`, `status`, `failures`, `collection`.
"""
