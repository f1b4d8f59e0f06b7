/** A job as Kubernetes would run it: what its manifests promise, and its steps, run here one after the other without a cluster. */
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { z } from 'zod'
import { jobManifests, namespaceManifests } from '../../src/sandbox/index.ts'
import { missingPython } from '../helpers/python.ts'
import { python } from '../helpers/sandbox.ts'

/** The fields of Kubernetes that are used, under their names and with no other beside them: an unknown field is ignored there in silence. */
const Quantities = z.strictObject({ cpu: z.string(), memory: z.string().regex(/^\d+$/), 'ephemeral-storage': z.string().regex(/^\d+Mi$/) })
const Container = z.strictObject({
  name: z.enum(['decode', 'run', 'encode']),
  image: z.string(),
  command: z.array(z.string()),
  securityContext: z.strictObject({
    allowPrivilegeEscalation: z.literal(false),
    readOnlyRootFilesystem: z.literal(true),
    runAsNonRoot: z.literal(true),
    runAsUser: z.int().positive(),
    runAsGroup: z.int().positive(),
    capabilities: z.strictObject({ drop: z.tuple([z.literal('ALL')]) }),
    seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
  }),
  resources: z.strictObject({ requests: Quantities, limits: Quantities }),
  volumeMounts: z.array(
    z.strictObject({ name: z.string(), mountPath: z.string().startsWith('/'), readOnly: z.boolean().optional(), subPath: z.string().optional() }),
  ),
  terminationMessagePolicy: z.literal('File'),
})
const Named = z.strictObject({
  name: z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/),
  namespace: z.string(),
  labels: z.record(z.string(), z.string()).optional(),
})
const Job = z.strictObject({
  apiVersion: z.literal('batch/v1'),
  kind: z.literal('Job'),
  metadata: Named,
  spec: z.strictObject({
    backoffLimit: z.literal(0),
    activeDeadlineSeconds: z.int().positive(),
    ttlSecondsAfterFinished: z.int().positive(),
    template: z.strictObject({
      metadata: z.strictObject({ labels: z.record(z.string(), z.string()) }),
      spec: z.strictObject({
        runtimeClassName: z.literal('gvisor'),
        restartPolicy: z.literal('Never'),
        automountServiceAccountToken: z.literal(false),
        enableServiceLinks: z.literal(false),
        hostNetwork: z.literal(false),
        hostPID: z.literal(false),
        hostIPC: z.literal(false),
        shareProcessNamespace: z.literal(false),
        dnsPolicy: z.literal('None'),
        dnsConfig: z.strictObject({ nameservers: z.array(z.string()) }),
        securityContext: z.strictObject({
          runAsNonRoot: z.literal(true),
          runAsUser: z.int().positive(),
          runAsGroup: z.int().positive(),
          fsGroup: z.int().positive(),
          seccompProfile: z.strictObject({ type: z.literal('RuntimeDefault') }),
        }),
        initContainers: z.array(Container),
        containers: z.array(Container),
        volumes: z.array(
          z.union([
            z.strictObject({ name: z.string(), configMap: z.strictObject({ name: z.string() }) }),
            z.strictObject({ name: z.string(), persistentVolumeClaim: z.strictObject({ claimName: z.string(), readOnly: z.literal(true).optional() }) }),
            z.strictObject({ name: z.string(), emptyDir: z.strictObject({ medium: z.literal('Memory'), sizeLimit: z.string().regex(/^\d+$/) }) }),
          ]),
        ),
      }),
    }),
  }),
})

const OPTIONS = {
  image: 'example.com/lagoa-python:1',
  namespace: 'lagoa-python',
  name: 'lagoa-job-1',
  code: 'def process(df):\n    return df\n',
  format: 'csv',
  input: { claim: 'in', path: 'a/b.csv' },
  output: { claim: 'out', path: 'jobs/1' },
  timeoutSeconds: 60,
  memoryBytes: 2 ** 28,
  outputBytes: 2 ** 26,
} as const

describe('the manifests of a job', () => {
  const [description, made] = jobManifests(OPTIONS)
  const { spec, metadata } = Job.parse(made)
  const pod = spec.template.spec
  const containers = [...pod.initContainers, ...pod.containers]
  const seen = (name: string): string[] =>
    containers.find((one) => one.name === name)?.volumeMounts.map((mount) => `${mount.mountPath}${mount.readOnly ? '' : ' rw'}`) ?? []

  test('have the steps in their order, and each sees only what it needs', () => {
    expect(containers.map(({ name }) => name)).toEqual(['decode', 'run', 'encode'])
    expect(seen('decode')).toEqual(['/job', '/input/data', '/arrow rw'])
    // The step with the code writes one folder, which nobody trusts; the results of all jobs are not to be seen from it.
    expect(seen('run')).toEqual(['/job', '/arrow', '/result rw'])
    expect(seen('encode')).toEqual(['/job', '/arrow', '/result', '/output rw'])
    for (const { volumeMounts } of containers) for (const { name } of volumeMounts) expect(pod.volumes.map((volume) => volume.name)).toContain(name)
  })

  test('bound time, and memory as much for the request as for the limit', () => {
    expect(spec.activeDeadlineSeconds).toBe(60)
    for (const { resources } of containers) expect(resources.requests).toEqual(resources.limits)
    expect(Number(containers[1]?.resources.limits.memory)).toBeGreaterThan(OPTIONS.memoryBytes)
  })

  test('carry the job unchanged', () => {
    const map = z.object({ metadata: Named, immutable: z.literal(true), data: z.object({ 'job.json': z.string() }) }).parse(description)
    expect(map.metadata.name).toBe(metadata.name)
    expect(JSON.parse(map.data['job.json'])).toMatchObject({ code: OPTIONS.code, format: 'csv', validate: true })
  })

  test('of a namespace refuse what is not restricted, and let nothing in or out', () => {
    expect(namespaceManifests('n')).toMatchObject([
      { kind: 'Namespace', metadata: { name: 'n', labels: { 'pod-security.kubernetes.io/enforce': 'restricted' } } },
      { kind: 'NetworkPolicy', metadata: { namespace: 'n' }, spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] } },
    ])
    expect(JSON.stringify(namespaceManifests('n'))).not.toMatch(/"(ingress|egress)":/)
  })
})

const folders: string[] = []
afterAll(() => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })))

describe.skipIf(missingPython !== null)(`the steps of a job, one container each ${missingPython ?? ''}`, () => {
  function steps(
    code: string,
    data = 'a\n1\n2\n3\n',
    between: (root: string) => void = () => undefined,
  ): { codes: (number | null)[]; report: Record<string, unknown>; root: string } {
    const root = mkdtempSync(join(tmpdir(), 'lagoa-step-'))
    folders.push(root)
    for (const name of ['job', 'input', 'arrow', 'result', 'output']) mkdirSync(join(root, name))
    writeFileSync(join(root, 'input/data'), data)
    const job = { code, format: 'csv', validate: true, output_bytes: 1 << 24, memory_bytes: 1 << 28, cpu_seconds: 20 }
    writeFileSync(join(root, 'job/job.json'), JSON.stringify(job))
    const codes = ['decode', 'run', 'encode'].map((step) => {
      if (step === 'encode') between(root)
      return spawnSync(python, ['-I', '-B', join(import.meta.dirname, '../../python/step.py'), step, root]).status
    })
    return { codes, report: JSON.parse(readFileSync(join(root, 'output/report.json'), 'utf8')) as Record<string, unknown>, root }
  }

  test('give the Parquet file and a report', () => {
    const { codes, report, root } = steps('def process(df):\n    return df[df["a"] > 1].assign(b=df["a"] * 2)\n')
    expect(codes).toEqual([0, 0, 0])
    expect(report).toMatchObject({
      status: 'success',
      rows: 2,
      preview: [
        [2, 4],
        [3, 6],
      ],
    })
    expect(readFileSync(join(root, 'output/result.parquet')).subarray(0, 4).toString()).toBe('PAR1')
  }, 60_000)

  test('tell of a code that fails, and leave no result', () => {
    const { codes, report, root } = steps('def process(df):\n    return df["b"]\n')
    expect(codes).toEqual([0, 0, 3])
    expect(report).toMatchObject({ status: 'error', line: 2 })
    expect(existsSync(join(root, 'output/result.parquet'))).toBe(false)
  }, 60_000)

  test('tell of data that cannot be read', () => {
    expect(steps('def process(df):\n    return df\n', '').report).toMatchObject({ status: 'error', message: expect.stringContaining('empty') as string })
  }, 60_000)

  test('believe nothing that the code left behind', () => {
    const forged = steps('def process(df):\n    return df\n', 'a\n1\n', (root) =>
      writeFileSync(join(root, 'result/report.json'), '{"status": "success", "findings": 7}'),
    )
    expect(forged.report).toMatchObject({ status: 'killed' })
    const swapped = steps('def process(df):\n    return df\n', 'a\n1\n', (root) => writeFileSync(join(root, 'result/output'), 'no arrow at all'))
    expect(swapped.report).toMatchObject({ status: 'error', message: expect.stringContaining('cannot be written as Parquet') as string })
  }, 60_000)
})
