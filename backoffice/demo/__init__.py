"""The demonstration house: twenty clients with a story each, on made-up prices that are labelled so."""
