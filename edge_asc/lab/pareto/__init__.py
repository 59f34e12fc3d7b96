"""Accuracy against complexity: which members to train, which to vote together, and what of it is worth having.

    space        what is trained, and what of it could never be; `search` tries what lies between
    pool         trained members as files in every variant, with their answers on both splits that were held out;
                 `pool_maker` converts them
    rulers       complexity, measured on those files; `firmware` on their C
    selection    grows ensembles on the selection split
    points       ensembles with accuracy and cost; `front` says which are worth having
    experiment   all of this in one go; `suite` in the folder of a laboratory; `report`, `plot`
    pick         the bundle of the best ensemble within budgets
"""
