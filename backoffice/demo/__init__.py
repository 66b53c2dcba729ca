"""The demonstration house: a dozen clients with a story each, on made-up prices that are labelled so."""
