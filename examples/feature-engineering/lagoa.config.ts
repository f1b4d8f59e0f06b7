import { defineConfig } from 'lagoa'

export default defineConfig({ title: 'Feature engineering' })
