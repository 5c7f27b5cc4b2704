"""python -m openbook"""

from openbook.cli import main

main()
