/**
 * A job of users' Python as Kubernetes runs it: three containers one after the other, each of which sees only what it needs, in a pod that gVisor
 * holds, without a token, a network or a folder that it may write beside its own. What makes a field necessary stands beside it; a
 * cluster's own admission (Pod Security `restricted`) refuses a pod without most of them.
 */

export interface ManifestOptions {
  /** With the Python environment and `python/` of this package at /lagoa. */
  readonly image: string
  readonly namespace: string
  readonly name: string
  readonly code: string
  readonly format: 'csv' | 'json' | 'parquet'
  /** A claim that holds the data set, and the path in it. */
  readonly input: { readonly claim: string; readonly path: string }
  /** A claim that takes the result, and the folder in it. */
  readonly output: { readonly claim: string; readonly path: string }
  readonly timeoutSeconds: number
  readonly memoryBytes: number
  readonly outputBytes: number
}

type Manifest = Readonly<Record<string, unknown>>

/** Python with its packages, before any data. */
const PYTHON_BYTES = 256 * 2 ** 20
/** Nobody's: no file of the image belongs to it. */
const USER = 65_532
const LABELS = { 'app.kubernetes.io/name': 'lagoa-python' }

/** Once a namespace: what may run in it, and that nothing of it reaches anything. */
export function namespaceManifests(namespace: string): readonly Manifest[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: { name: namespace, labels: { 'pod-security.kubernetes.io/enforce': 'restricted', 'pod-security.kubernetes.io/enforce-version': 'latest' } },
    },
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'NetworkPolicy',
      metadata: { name: 'nothing', namespace },
      // Both directions without a rule: nothing comes in and nothing goes out, names neither.
      spec: { podSelector: {}, policyTypes: ['Ingress', 'Egress'] },
    },
  ]
}

/** One job: its description and its pod. */
export function jobManifests(options: ManifestOptions): readonly Manifest[] {
  const { image, namespace, name, code, format, input, output, timeoutSeconds, memoryBytes, outputBytes } = options
  const description = { code, format, validate: true, output_bytes: outputBytes, memory_bytes: memoryBytes, cpu_seconds: timeoutSeconds }
  const mounts = {
    job: { name: 'job', mountPath: '/job', readOnly: true },
    input: { name: 'input', mountPath: '/input/data', subPath: input.path, readOnly: true },
    output: { name: 'output', mountPath: '/output', subPath: output.path },
  }
  const folder = (volume: 'arrow' | 'result', readOnly: boolean): object => ({ name: volume, mountPath: `/${volume}`, readOnly })
  const container = (step: string, memory: number, volumeMounts: readonly object[]): object => ({
    name: step,
    image,
    command: ['python', '-I', '-B', '/lagoa/step.py', step],
    securityContext: {
      allowPrivilegeEscalation: false,
      readOnlyRootFilesystem: true,
      runAsNonRoot: true,
      runAsUser: USER,
      runAsGroup: USER,
      capabilities: { drop: ['ALL'] },
      seccompProfile: { type: 'RuntimeDefault' },
    },
    // Equal requests and limits: the kernel ends who needs more, and no neighbour is pressed for it.
    resources: {
      requests: { cpu: '1', memory: String(memory), 'ephemeral-storage': '64Mi' },
      limits: { cpu: '1', memory: String(memory), 'ephemeral-storage': '64Mi' },
    },
    volumeMounts,
    terminationMessagePolicy: 'File',
  })
  const inMemory = { medium: 'Memory', sizeLimit: String(memoryBytes + outputBytes) }
  // What lies in a folder in memory counts as the memory of who wrote it.
  const held = PYTHON_BYTES + memoryBytes + outputBytes
  return [
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: { name, namespace, labels: LABELS },
      immutable: true,
      data: { 'job.json': JSON.stringify(description) },
    },
    {
      apiVersion: 'batch/v1',
      kind: 'Job',
      metadata: { name, namespace, labels: LABELS },
      spec: {
        // A code that failed fails again.
        backoffLimit: 0,
        activeDeadlineSeconds: timeoutSeconds,
        ttlSecondsAfterFinished: 3_600,
        template: {
          metadata: { labels: LABELS },
          spec: {
            runtimeClassName: 'gvisor',
            restartPolicy: 'Never',
            automountServiceAccountToken: false,
            enableServiceLinks: false,
            hostNetwork: false,
            hostPID: false,
            hostIPC: false,
            shareProcessNamespace: false,
            dnsPolicy: 'None',
            // `None` asks for a server; the network policy lets nobody reach it.
            dnsConfig: { nameservers: ['127.0.0.1'] },
            securityContext: { runAsNonRoot: true, runAsUser: USER, runAsGroup: USER, fsGroup: USER, seccompProfile: { type: 'RuntimeDefault' } },
            initContainers: [
              container('decode', held, [mounts.job, mounts.input, folder('arrow', false)]),
              container('run', held, [mounts.job, folder('arrow', true), folder('result', false)]),
            ],
            containers: [container('encode', held, [mounts.job, folder('arrow', true), folder('result', true), mounts.output])],
            volumes: [
              { name: 'job', configMap: { name } },
              { name: 'input', persistentVolumeClaim: { claimName: input.claim, readOnly: true } },
              { name: 'output', persistentVolumeClaim: { claimName: output.claim } },
              { name: 'arrow', emptyDir: inMemory },
              { name: 'result', emptyDir: inMemory },
            ],
          },
        },
      },
    },
  ]
}
