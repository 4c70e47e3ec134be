"""The rendered demo set: real media files, synthetic people, everything from one seed.

It exists so that every command can be tried on a machine that has no data. An item has four hidden causes
(`catalogue`): a *look* that only its pictures show, a *sound* that only can be heard, a *topic* that its words
tell, and a *creator*. They agree only in part, so that each modality knows something the others do not.

The taste model (`taste`, `behaviour`) was written before any matcher and is frozen. No matcher may know its form:
nothing outside this package imports from it, and none of the hidden causes is written into a table, except what a
catalogue would show anyway (category, creator, words). A change to it is a new demo set, not a way to a better score.

Figures measured on it say that the machinery works, not that it would please people; its `DatasetMeta.synthetic`
is true, and every report says so.
"""
