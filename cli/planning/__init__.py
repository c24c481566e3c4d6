"""`callboard plan`: how many machines a load takes."""
