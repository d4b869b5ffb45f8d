"""Operations by key on what is under the pointer: accept, relabel, merge, split, delete."""
