CREATE TABLE cars (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL CHECK (name <> ''),
    plate text NOT NULL UNIQUE
);

CREATE TABLE bookings (
    id integer GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    car integer NOT NULL REFERENCES cars ON DELETE CASCADE,
    driver text NOT NULL CHECK (driver <> ''),
    starts timestamptz NOT NULL,
    ends timestamptz NOT NULL,
    CHECK (starts < ends)
);

INSERT INTO cars (name, plate) VALUES ('Blue van', 'ZK 100'), ('Little red one', 'ZK 200');
