"""The acceptance cases and the program that runs them: ``python -m tests.cases FILE``.

FORMAT.md says what a case may hold; the modules here follow its sections:

``model``         reading and checking a line of a case file
``placeholders``  ``${...}``
``overlay``       the policy of a case, over a shipped one
``world``         the files, and what became of them
``witnesses``     live services that count who contacted them
``needs``         what the place it runs in must have
``expectations``  what a reply must look like (pure)
``kernels``       one kernel and the client that talks to it
``clients``       nbclient and papermill
``play``          the steps of one case, one after another
``one``           the process in which one case is played
``launch``        what the kernelspec of a case starts
"""
