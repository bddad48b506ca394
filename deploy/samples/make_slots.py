#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A month of slots of a big city's registry offices, out of the CSV files beside this script.

    make_slots.py [--month YYYY-MM] > slots.csv        for `fairslot slot import slots.csv`
    make_slots.py --pools | sh                         makes the pools ($FAIRSLOT, else fairslot)

The same month gives the same bytes.  Times are local, with their zone; README.md has the columns.
Python's standard library only.
"""
import argparse
import calendar
import csv
import datetime
import os
import shlex
import sys

FOLDER = os.path.dirname(os.path.abspath(__file__))
WEEKDAYS = ('mon', 'tue', 'wed', 'thu', 'fri', 'sat', 'sun')
COLUMNS = ('pool', 'date', 'start', 'duration_minutes', 'desk', 'time_zone')


def read(name):
    with open(os.path.join(FOLDER, name), encoding='utf-8', newline='') as file:
        return list(csv.DictReader(file))


def minutes(clock):
    hours, rest = clock.split(':')
    return int(hours) * 60 + int(rest)


def desks_of(office):
    """Service -> the desks that offer it; desks are numbered through the whole office."""
    found, number = {}, 0
    for part in office['desks'].split():
        service, count = part.split(':')
        found[service] = [f'Desk {number + n + 1}' for n in range(int(count))]
        number += int(count)
    return found


def pool_id(office, service):
    return f"{office['office']}-{service['service']}"


def work_days(year, month):
    """Dates of the month that are no holiday."""
    closed = {row['date'] for row in read('holidays.csv')}
    if not any(date.startswith(f'{year}-') for date in closed):
        sys.exit(f'make_slots.py: holidays.csv knows nothing about {year}: add its holidays')
    for day in range(1, calendar.monthrange(year, month)[1] + 1):
        date = datetime.date(year, month, day)
        if date.isoformat() not in closed:
            yield date


def slots(year, month):
    """Every slot of the month, by date, office, service, time and desk."""
    services = read('services.csv')
    offices = [(office, desks_of(office)) for office in read('offices.csv')]
    opening = {}
    for row in read('opening_hours.csv'):
        opening.setdefault((row['office'], row['weekday']), []).append(
            (minutes(row['opens']), minutes(row['closes'])))
    for date in work_days(year, month):
        for office, desks in offices:
            hours = opening.get((office['office'], WEEKDAYS[date.weekday()]), [])
            for service in services:
                length = int(service['duration_minutes'])
                for opens, closes in hours:
                    for start in range(opens, closes - length + 1, length):
                        for desk in desks.get(service['service'], []):
                            yield (pool_id(office, service), date.isoformat(),
                                   f'{start // 60:02d}:{start % 60:02d}', length, desk,
                                   office['time_zone'])


def pools():
    """A shell command for each pool: one office, one service."""
    services = read('services.csv')
    print('set -e')
    for office in read('offices.csv'):
        offered = desks_of(office)
        for service in services:
            if service['service'] not in offered:
                continue
            words = [pool_id(office, service), '--display-name',
                     f"{service['name']}, {office['name']}", '--office', office['name'],
                     '--service', service['name'], '--service-class', service['service_class'],
                     '--time-zone', office['time_zone'], '--min-assurance',
                     service['min_assurance'], '--hold-ttl', service['hold_ttl'], '--max-live',
                     service['max_live']]
            print('"${FAIRSLOT:-fairslot}" pool create ' + shlex.join(words) + ' > /dev/null')


def month(text):
    """'2026-12' -> (2026, 12)."""
    try:
        date = datetime.datetime.strptime(text, '%Y-%m')
    except ValueError:
        raise argparse.ArgumentTypeError(f"'{text}' is no month: write YYYY-MM") from None
    return date.year, date.month


def next_month():
    today = datetime.date.today()
    return (today.year + today.month // 12, today.month % 12 + 1)


def main():
    parser = argparse.ArgumentParser(
        description="A month of slots of a big city's registry offices, as CSV.",
        epilog='example: make_slots.py --month 2026-12 > slots.csv')
    parser.add_argument('--month', type=month, default=next_month(), metavar='YYYY-MM',
                        help='which month (the next one)')
    parser.add_argument('--pools', action='store_true',
                        help='print the shell commands that make the pools instead')
    options = parser.parse_args()
    sys.stdout.reconfigure(encoding='utf-8')
    if options.pools:
        pools()
        return
    writer = csv.writer(sys.stdout, lineterminator='\n')
    writer.writerow(COLUMNS)
    writer.writerows(slots(*options.month))


if __name__ == '__main__':
    main()
