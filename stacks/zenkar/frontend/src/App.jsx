import { useCallback, useEffect, useState } from 'react';
import { ask, clash, span } from './bookings.js';

export default function App() {
    const [cars, setCars] = useState([]);
    const [bookings, setBookings] = useState([]);
    const [problem, setProblem] = useState('');

    const load = useCallback(async () => {
        try {
            const found = await Promise.all([ask('cars'), ask('bookings')]);
            setCars(found[0]);
            setBookings(found[1]);
        } catch (error) {
            setProblem(error.message);
        }
    }, []);
    useEffect(() => {
        load();
    }, [load]);

    async function change(path, options) {
        setProblem('');
        try {
            await ask(path, options);
        } catch (error) {
            setProblem(error.message);
        }
        await load();
    }

    function book(event) {
        event.preventDefault();
        const form = new FormData(event.currentTarget);
        const wanted = {
            car: Number(form.get('car')),
            driver: form.get('driver'),
            starts: new Date(form.get('starts')).toISOString(),
            ends: new Date(form.get('ends')).toISOString(),
        };
        const other = clash(bookings, wanted);
        if (other) {
            setProblem(`${other.driver} has that car: ${span(other)}`);
            return;
        }
        change('bookings', { method: 'POST', body: JSON.stringify(wanted) });
    }

    return (
        <>
            <h1>Zenkar</h1>
            <form onSubmit={book}>
                <select name="car" aria-label="Car" required>
                    {cars.map((car) => (
                        <option key={car.id} value={car.id}>
                            {car.name} ({car.plate})
                        </option>
                    ))}
                </select>
                <input name="driver" placeholder="Who drives" maxLength={100} required />
                <label>
                    from <input name="starts" type="datetime-local" required />
                </label>
                <label>
                    to <input name="ends" type="datetime-local" required />
                </label>
                <button>Book</button>
            </form>
            <p role="alert">{problem}</p>
            <ul>
                {bookings.map((booking) => (
                    <li key={booking.id}>
                        {cars.find((car) => car.id === booking.car)?.name}: {booking.driver}, {span(booking)}{' '}
                        <button onClick={() => change(`bookings/${booking.id}`, { method: 'DELETE' })}>Give back</button>
                    </li>
                ))}
            </ul>
        </>
    );
}
