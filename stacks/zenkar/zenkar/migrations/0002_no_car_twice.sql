-- The database itself refuses to promise a car twice, whoever asks at the same moment.
CREATE EXTENSION IF NOT EXISTS btree_gist;
ALTER TABLE bookings
    ADD CONSTRAINT no_car_twice EXCLUDE USING gist (car WITH =, tstzrange(starts, ends) WITH &&);
