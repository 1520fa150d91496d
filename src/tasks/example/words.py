"""How often each word of input.csv occurs, the most frequent first."""
import collections
import csv

with open("input.csv", newline="") as table:
    words = [word for row in csv.reader(table) for cell in row for word in cell.lower().split()]
for word, count in collections.Counter(words).most_common():
    print(f"{count:3} {word}")
