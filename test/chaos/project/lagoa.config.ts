import { defineConfig } from 'lagoa'

export default defineConfig({ title: 'Chaos', log: { format: 'json' } })
