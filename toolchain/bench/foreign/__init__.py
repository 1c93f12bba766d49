"""Random graphs as other tools write them, on the whole road, beside a second reading of NIR that shares nothing."""
