"""One module per `./run sim NAME`: what is asked, the runs that answer it, the verdict and the plots."""
