def draw_maps(*a): pass
def draw_tsne(*a): pass
