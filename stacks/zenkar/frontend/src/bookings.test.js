import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clash, span } from './bookings.js';

const booked = { car: 1, driver: 'Ann', starts: '2026-11-20T10:00:00Z', ends: '2026-11-20T12:00:00Z' };

test('a car is not booked twice', () => {
    assert.equal(clash([booked], { car: 1, starts: '2026-11-20T11:00:00Z', ends: '2026-11-20T13:00:00Z' }), booked);
    assert.equal(clash([booked], { car: 2, starts: '2026-11-20T11:00:00Z', ends: '2026-11-20T13:00:00Z' }), undefined);
});

test('one may follow another', () => {
    assert.equal(clash([booked], { car: 1, starts: '2026-11-20T12:00:00Z', ends: '2026-11-20T13:00:00Z' }), undefined);
    assert.equal(clash([booked], { car: 1, starts: '2026-11-20T09:00:00Z', ends: '2026-11-20T10:00:00Z' }), undefined);
});

test('a span names both ends', () => {
    assert.match(span(booked, 'en-GB'), /20 Nov 2026.* to 20 Nov 2026/);
});
