"""Starts the driver on a cluster's primary machine: main.py --run URI --region REGION."""

from fruitscale.clusters.machines.driver import main

if __name__ == "__main__":
    main()
