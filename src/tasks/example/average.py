"""The average of each column of input.csv, in average.csv."""
import csv

with open("input.csv", newline="") as table:
    rows = list(csv.DictReader(table))
with open("average.csv", "w", newline="") as table:
    out = csv.writer(table)
    out.writerow(["column", "average"])
    for column in rows[0]:
        average = sum(float(row[column]) for row in rows) / len(rows)
        out.writerow([column, average])
        print(f"{column}: {average}")
