"""The program of a launch, on the machine that leads the cluster: main.py --run URI --region REGION."""

from fruitscale.clusters.machines.driver import main

if __name__ == "__main__":
    main()
