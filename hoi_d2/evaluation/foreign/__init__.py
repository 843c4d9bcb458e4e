"""Result files of other code bases, converted to columns.

- `convert`: recognises the form; start here.
- `ppdm`: JSON of PPDM, QPIC and CDN.
- `upt_mat`: UPT's folder of .mat files; `upt_mat_reader` parses them in a process of its own.
- `vcoco_pickle`: the pickle of V-COCO's tool, read without running code.
"""
