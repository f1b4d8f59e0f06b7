import { defineConfig } from 'lagoa'

export default defineConfig({ title: 'Air quality, São Paulo', api: { alerts: 'sensor_alert' } })
