import { stream, t } from 'lagoa'

export const orders = stream('orders', { key: 'id', eventTime: 'at', schema: { id: t.string(), at: t.timestamp(), amount: t.double() } })
