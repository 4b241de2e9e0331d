import react from '@vitejs/plugin-react';
import { defineConfig } from 'vite';

// `npm run dev` asks the backend of `invoke deploy --env local`.
export default defineConfig({
    plugins: [react()],
    server: { proxy: { '/api': { target: 'http://127.0.0.1:8080', headers: { Host: 'zenkar.localhost' } } } },
});
