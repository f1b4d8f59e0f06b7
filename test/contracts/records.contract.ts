/** What Records promises on every PostgreSQL, the embedded one and servers; see src/storage/records/port.ts. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { migrate, type Records } from '../../src/storage/index.ts'

/** `open` gives a new pool on the same, at first empty, database each time it is called. */
export function recordsContract(name: string, open: () => Promise<Records>): void {
  describe(`records: ${name}`, () => {
    let records: Records
    beforeAll(async () => {
      records = await open()
      await records.script(
        'create table item (id int primary key, v text); create table counter (id int primary key, n int not null); insert into counter values (1, 0), (2, 0)',
      )
    })
    afterAll(async () => {
      await records.close()
    })

    test('every type comes back as the port says', async () => {
      const [row] =
        await records.query(`select true as bool, 7::int2 as int2, -8::int4 as int4, 9007199254740991 as int8, -9007199254740991 as low, 1.5::float4 as float4,
        'NaN'::float8 as nan, '-Infinity'::float8 as inf, 123.456 as numeric, -0.00012::numeric as small, 1e20::numeric as large, 'olá'::text as text, 'x'::varchar(3) as varchar, 'ab'::char(3) as bpchar, 'n'::name as name,
        '2026-11-21T01:02:03.456789Z'::timestamptz as at, '1960-01-01T00:00:00Z'::timestamptz as early, '2026-02-28'::date as date, '{"a":[1,null]}'::json as json, '[{"b":"c"}]'::jsonb as jsonb,
        'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as uuid, null::text as nothing, '\\x00ff10'::bytea as bytea`)
      expect(row).toEqual({
        bool: true,
        int2: 7,
        int4: -8,
        int8: 9007199254740991,
        low: -9007199254740991,
        float4: 1.5,
        nan: NaN,
        inf: -Infinity,
        numeric: 123.456,
        small: -0.00012,
        large: 1e20,
        text: 'olá',
        varchar: 'x',
        bpchar: 'ab ',
        name: 'n',
        at: Date.parse('2026-11-21T01:02:03.456Z'),
        early: Date.UTC(1960, 0, 1),
        date: '2026-02-28',
        json: { a: [1, null] },
        jsonb: [{ b: 'c' }],
        uuid: 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11',
        nothing: null,
        bytea: Buffer.from([0, 255, 16]),
      })
    })

    test('arrays come back as arrays, with nulls and nesting', async () => {
      const [row] = await records.query(
        `select array[1,null,3] as ints, '{}'::text[] as empty, array['a,b','"q"',null,'{}'] as texts, array[[1,2],[3,4]]::int8[] as nested, array['\\x01'::bytea] as bytes, array[true,false] as bools`,
      )
      expect(row).toEqual({
        ints: [1, null, 3],
        empty: [],
        texts: ['a,b', '"q"', null, '{}'],
        nested: [
          [1, 2],
          [3, 4],
        ],
        bytes: [Buffer.from([1])],
        bools: [true, false],
      })
    })

    test('an enum comes back as text, an unreadable type is refused by name', async () => {
      await records.script(`create type mood as enum ('calm', 'busy')`)
      expect(await records.query(`select 'busy'::mood as mood`)).toEqual([{ mood: 'busy' }])
      await expect(records.query(`select point(1,2) as p`)).rejects.toMatchObject({ code: 'storage.unknown_type', kind: 'unsupported' })
      expect(await records.query('select 1 as x')).toEqual([{ x: 1 }])
    })

    test('an int8 beyond 2^53 is refused rather than rounded', async () => {
      await expect(records.query('select 9007199254740993 as big')).rejects.toMatchObject({ code: 'storage.number_too_large', kind: 'limit' })
      expect(await records.query('select 9007199254740993::text as big')).toEqual([{ big: '9007199254740993' }])
    })

    test('parameters of every kind arrive as they are', async () => {
      const at = new Date('2026-11-21T01:02:03.456Z')
      const [row] = await records.query(
        `select $1::text as text, $2::int8 as int8, $3::float8 as float8, $4::bool as bool, $5::bytea as bytea, $6::timestamptz as at, $7::jsonb as json, $8::text[] as texts, $9::int8[] as ints, $10::bytea[] as byteas, $11::text as nothing, $12::numeric as big, $13::text[] as none`,
        [
          'olá "\\ \u{1F600}',
          42,
          0.1,
          false,
          Uint8Array.of(0, 255),
          at,
          { a: [1] },
          ['a"b\\', null, '', 'NULL'],
          [1, null, 3],
          [Uint8Array.of(255), null],
          null,
          12345678901234567890n,
          [],
        ],
      )
      expect(row).toEqual({
        text: 'olá "\\ \u{1F600}',
        int8: 42,
        float8: 0.1,
        bool: false,
        bytea: Buffer.from([0, 255]),
        at: at.getTime(),
        json: { a: [1] },
        texts: ['a"b\\', null, '', 'NULL'],
        ints: [1, null, 3],
        byteas: [Buffer.from([255]), null],
        nothing: null,
        big: 12345678901234567000,
        none: [],
      })
    })

    test('bytes of every size pass unchanged, several rows at once', async () => {
      await records.script('create table blob (id int primary key, bytes bytea not null); alter table blob alter bytes set storage external')
      const sizes = [0, 1, 7, 4095, 4096, 65_530, 65_536, 70_001, 1_048_576, 3_000_003]
      const blobs = sizes.map((size, seed) => Buffer.from(Uint8Array.from({ length: size }, (_, i) => (i * 31 + seed * 7) % 256)))
      for (const [id, bytes] of blobs.entries()) await records.query('insert into blob values ($1, $2)', [id, bytes])
      const rows = await records.query<{ id: number; bytes: Buffer }>('select id, bytes from blob order by id')
      expect(rows.map((row) => row.bytes.equals(blobs[row.id] ?? Buffer.of(1)))).toEqual(sizes.map(() => true))
      expect(rows).toHaveLength(sizes.length)
    })

    test('many small rows arrive in order and complete', async () => {
      const rows = await records.query<{ i: number; s: string | null }>(
        `select i, case when i % 3 = 0 then null else repeat('x', i % 200) end as s from generate_series(1, 30000) i`,
      )
      expect(rows).toHaveLength(30_000)
      expect(rows.every((row, at) => row.i === at + 1 && (row.i % 3 === 0 ? row.s === null : row.s?.length === row.i % 200))).toBe(true)
    })

    test('a named statement is prepared once and used again with other values', async () => {
      for (let i = 0; i < 5; i++) expect(await records.query('select $1::int + 1 as n', [i], { name: 'contract_named' })).toEqual([{ n: i + 1 }])
      expect(await Promise.all(Array.from({ length: 30 }, (_, i) => records.query('select $1::int + 1 as n', [i], { name: 'contract_named' })))).toEqual(
        Array.from({ length: 30 }, (_, i) => [{ n: i + 1 }]),
      )
    })

    test('a failed statement does not spoil the next one', async () => {
      await expect(records.query('select 1/0')).rejects.toMatchObject({ kind: 'invalid', code: 'storage.bad_value' })
      await expect(records.query('selec 1')).rejects.toMatchObject({ kind: 'bug', code: 'storage.statement' })
      await expect(records.query('select $1::int as n', ['x'], { name: 'contract_bad' })).rejects.toMatchObject({ kind: 'invalid' })
      await expect(records.query('select $1::text as other', ['x'], { name: 'contract_bad' })).rejects.toMatchObject({ kind: 'bug' })
      expect(await records.query('select $1::int as n', ['5'], { name: 'contract_bad' })).toEqual([{ n: 5 }])
    })

    test('a prepared statement works again after its table changed', async () => {
      await records.script('create table changing (a int); insert into changing values (1)')
      const read = (): Promise<object[]> => records.query('select * from changing', [], { name: 'contract_changing' })
      expect(await read()).toEqual([{ a: 1 }])
      await records.script('alter table changing add b int')
      for (let connection = 0; connection < 10; connection++) {
        const rows = await read().catch((error: unknown) => error)
        if (Array.isArray(rows)) expect(rows).toEqual([{ a: 1, b: null }])
        else expect(rows).toMatchObject({ kind: 'conflict', code: 'storage.table_changed' })
      }
      expect(await read()).toEqual([{ a: 1, b: null }])
    })

    test('a duplicate key is a conflict and its message holds no value', async () => {
      await records.query('insert into item values ($1, $2)', [500, 'secret-value'])
      const failure = records.query('insert into item values ($1, $2)', [500, 'secret-value'])
      await expect(failure).rejects.toMatchObject({ kind: 'conflict', code: 'storage.duplicate', message: expect.stringContaining('item_pkey') })
      await expect(failure).rejects.not.toMatchObject({ message: expect.stringContaining('500') })
    })

    test('script runs several statements in one transaction', async () => {
      await records.script('insert into item values (600); insert into item values (601)')
      await expect(records.script('insert into item values (602); insert into item values (600)')).rejects.toMatchObject({ kind: 'conflict' })
      expect(await records.query('select id from item where id between 600 and 699 order by id')).toEqual([{ id: 600 }, { id: 601 }])
    })

    test('a transaction commits when its body returns', async () => {
      const answer = await records.transaction(async (tx) => {
        await tx.query('insert into item values (1, $1)', ['a'])
        await tx.query('insert into item values (2, $1)', ['b'])
        expect(await records.query('select id from item where id in (1, 2)')).toEqual([])
        return 'done'
      })
      expect(answer).toBe('done')
      expect(await records.query('select id from item where id in (1, 2) order by id')).toEqual([{ id: 1 }, { id: 2 }])
    })

    test('a transaction rolls back when its body throws, and throws the same error', async () => {
      const mine = new Error('mine')
      await expect(
        records.transaction(async (tx) => {
          await tx.query('insert into item values (10)')
          throw mine
        }),
      ).rejects.toBe(mine)
      expect(await records.query('select id from item where id = 10')).toEqual([])
    })

    test('a body that goes on after a failed statement does not commit silently', async () => {
      await expect(
        records.transaction(async (tx) => {
          await tx.query('insert into item values (11)')
          await tx.query('select 1/0').catch(() => undefined)
        }),
      ).rejects.toMatchObject({ code: 'storage.failed_transaction' })
      expect(await records.query('select id from item where id = 11')).toEqual([])
    })

    test('statements sent at once in a transaction run in order', async () => {
      const rows = await records.transaction((tx) => Promise.all([1, 2, 3, 4].map((n) => tx.query('select $1::int as n', [n]))))
      expect(rows).toEqual([[{ n: 1 }], [{ n: 2 }], [{ n: 3 }], [{ n: 4 }]])
    })

    test('a transaction whose first statement fails is over, whichever transaction of its connection it is', async () => {
      await records.script('create table first_fails (n int)')
      for (let turn = 0; turn < 3; turn++) {
        await expect(
          records.transaction(async (tx) => {
            await tx.query('select 1 / $1::int', [0])
          }),
        ).rejects.toThrow('division by zero')
        await expect(
          records.transaction(async (tx) => {
            await tx.query('insert into first_fails values ($1)', [turn])
            await tx.query('no sql')
          }),
        ).rejects.toMatchObject({ code: 'storage.statement' })
        await expect(records.transaction(async (tx) => tx.query('select $1::int as n', [turn]))).resolves.toEqual([{ n: turn }])
      }
      expect(await records.query('select * from first_fails')).toEqual([])
    })

    test('a transaction may begin with a script, or send nothing', async () => {
      await records.script('create table scripted (n int)')
      for (let turn = 0; turn < 2; turn++) {
        expect(await records.transaction(() => Promise.resolve('nothing'))).toBe('nothing')
        await expect(
          records.transaction(async (tx) => {
            await tx.script('insert into scripted values (1); insert into scripted values (2)')
            throw new Error('no')
          }),
        ).rejects.toThrow('no')
        await records.transaction((tx) => tx.script('insert into scripted values (3)'))
      }
      expect(await records.query('select n from scripted')).toEqual([{ n: 3 }, { n: 3 }])
    })

    test('a transaction cannot be used after its end', async () => {
      const tx = await records.transaction(async (inner) => inner)
      await expect(tx.query('select 1')).rejects.toMatchObject({ code: 'storage.transaction_over' })
    })

    test('serialisation failures run the body again', async () => {
      let runs = 0
      const add = (): Promise<void> =>
        records.transaction(async (tx) => {
          runs++
          await tx.query('set transaction isolation level serializable')
          const [row] = await tx.query<{ n: number }>('select n from counter where id = 1')
          await sleep(5)
          await tx.query('update counter set n = $1 where id = 1', [(row?.n ?? 0) + 1])
        })
      await Promise.all([add(), add(), add()])
      expect(await records.query('select n from counter where id = 1')).toEqual([{ n: 3 }])
      expect(runs).toBeGreaterThan(3)
    })

    test('a serialisation failure that stays is a conflict after five runs', async () => {
      let runs = 0
      await expect(
        records.transaction(async (tx) => {
          runs++
          await tx.script(`do $$ begin raise exception using errcode = '40001'; end $$`)
        }),
      ).rejects.toMatchObject({ kind: 'conflict', code: 'storage.serialization' })
      expect(runs).toBe(5)
    })

    test('a deadlock is resolved by running one body again', async () => {
      const both = (first: number, second: number): Promise<void> =>
        records.transaction(async (tx) => {
          await tx.query('update counter set n = n + 1 where id = $1', [first])
          await sleep(30)
          await tx.query('update counter set n = n + 1 where id = $1', [second])
        })
      await records.query('update counter set n = 0')
      await Promise.all([both(1, 2), both(2, 1)])
      expect(await records.query('select n from counter order by id')).toEqual([{ n: 2 }, { n: 2 }])
    })

    test('listen hears notices of its channel only, until it is told to stop', async () => {
      const heard: string[] = []
      const stop = await records.listen('Some "channel"', (payload) => heard.push(payload))
      await records.query(`select pg_notify('other', 'no')`)
      await records.query(`select pg_notify('Some "channel"', 'yes')`)
      await until(() => heard.length > 0)
      await stop()
      await records.query(`select pg_notify('Some "channel"', 'late')`)
      await sleep(30)
      expect(heard).toEqual(['yes'])
    })

    test('two listeners of a channel both hear; one may leave', async () => {
      const [a, b]: [string[], string[]] = [[], []]
      const stopA = await records.listen('shared', (payload) => a.push(payload))
      const stopB = await records.listen('shared', (payload) => b.push(payload))
      await records.query(`select pg_notify('shared', '1')`)
      await until(() => a.length === 1 && b.length === 1)
      await stopA()
      await records.query(`select pg_notify('shared', '2')`)
      await until(() => b.length === 2)
      expect(a).toEqual(['1'])
      await stopB()
    })

    test('when the connection breaks, listen comes back by itself and calls once', async () => {
      const heard: string[] = []
      const stop = await records.listen('returning', (payload) => heard.push(payload))
      await records.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen %' and datname = current_database() and pid <> pg_backend_pid()`,
      )
      await until(() => heard.length === 1)
      expect(heard).toEqual([''])
      await records.query(`select pg_notify('returning', 'again')`)
      await until(() => heard.length === 2)
      expect(heard).toEqual(['', 'again'])
      await stop()
    })

    test('a connection that breaks under a statement is unavailable, and the pool recovers', async () => {
      const slow = records.query('select pg_sleep(30)').catch((error: unknown) => error)
      await sleep(50)
      await records.query(
        `select pg_terminate_backend(pid) from pg_stat_activity where query like 'select pg_sleep%' and datname = current_database() and pid <> pg_backend_pid()`,
      )
      expect(await slow).toMatchObject({ kind: 'unavailable', code: 'storage.database_away', hint: expect.any(String) })
      expect(await records.query('select 1 as x')).toEqual([{ x: 1 }])
    })

    test('a session keeps its state and tells when it is lost', async () => {
      const session = await records.session()
      let lost = 0
      session.onLost(() => lost++)
      await session.query('create temp table mine (x int)')
      await session.query('insert into mine values (1)')
      expect(await session.query('select x from mine')).toEqual([{ x: 1 }])
      const [row] = await session.query<{ pid: number }>('select pg_backend_pid() as pid')
      await records.query('select pg_terminate_backend($1::int)', [row?.pid ?? 0])
      await until(() => lost === 1)
      await expect(session.query('select 1')).rejects.toMatchObject({ kind: 'unavailable' })
      await session.close()
      const closed = await records.session()
      closed.onLost(() => lost++)
      await closed.close()
      await sleep(20)
      expect(lost).toBe(1)
    })

    test('every connection calls itself lagoa', async () => {
      expect(await records.query(`select current_setting('application_name') as name, current_setting('timezone') as zone`)).toEqual([
        { name: 'lagoa', zone: 'UTC' },
      ])
    })

    test('migrations run once, in order, also when several nodes start at once', async () => {
      const steps = [
        { name: '001_a', sql: 'create table m (n int); insert into m values (1)' },
        { name: '002_b', sql: 'select pg_sleep(0.05); update m set n = n + 1' },
      ]
      const nodes = await Promise.all([open(), open(), open()])
      const applied = await Promise.all(nodes.map((node) => migrate(node, steps)))
      expect(applied.flat().sort()).toEqual(['001_a', '002_b'])
      expect(await records.query('select n from m')).toEqual([{ n: 2 }])
      expect(await migrate(records, [...steps, { name: '003_c', sql: 'update m set n = n * 10' }])).toEqual(['003_c'])
      expect(await records.query('select n from m')).toEqual([{ n: 20 }])
      await Promise.all(nodes.map((node) => node.close()))
    })

    test('a failed migration leaves nothing behind, and a newer database is refused', async () => {
      const known = ['001_a', '002_b', '003_c'].map((step) => ({ name: step, sql: 'select 1' }))
      await expect(migrate(records, [...known, { name: '004_bad', sql: 'create table half (x int); select 1/0' }])).rejects.toMatchObject({ kind: 'invalid' })
      expect(await records.query(`select to_regclass('half')::text as half`)).toEqual([{ half: null }])
      await expect(migrate(records, known.slice(0, 2))).rejects.toMatchObject({
        kind: 'conflict',
        code: 'storage.newer_database',
        message: expect.stringContaining('003_c'),
      })
    })

    test('after close every call rejects', async () => {
      const other = await open()
      await other.listen('x', () => undefined)
      await other.close()
      await other.close()
      const closed = { code: 'storage.closed', kind: 'unavailable' }
      await expect(other.query('select 1')).rejects.toMatchObject(closed)
      await expect(other.script('select 1')).rejects.toMatchObject(closed)
      await expect(other.transaction(async () => 1)).rejects.toMatchObject(closed)
      await expect(other.listen('x', () => undefined)).rejects.toMatchObject(closed)
      await expect(other.session()).rejects.toMatchObject(closed)
    })
  })
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 5_000
  while (!condition()) {
    if (Date.now() > deadline) throw new Error('what the test waits for did not happen within 5 s')
    await sleep(5)
  }
}
