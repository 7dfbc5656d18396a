/**
 * Images whose root lies in a bundle. Registering reads the manifest at once; an operation then reads the whole bundle, so
 * that an image is `available` only when it was seen to unpack, and `failed` with part, place and digest otherwise.
 */
import { KilnError } from '../../lib/errors.ts'
import type { OperationKind, StepContext } from '../../operations/operation.ts'
import type { Tag } from '../../state/tags.ts'
import { type Device, type DeviceWish, devicePattern, mergeDevices } from '../block-devices.ts'
import type { Bundles, ReadBundle } from '../bundles/bundles.ts'
import { explained } from '../bundles/explained.ts'
import type { CloudDeps, Scope } from '../deps.ts'
import type { Snapshots } from '../snapshots/snapshots.ts'
import { becomeAvailable, becomeFailed } from './image-completion.ts'
import { checkImageText, checkNameIsFree } from './image-names.ts'
import type { Images, RegisterImageRequest } from './images.ts'

export type RegisterBundleRequest = Omit<RegisterImageRequest, 'architecture' | 'rootDeviceName'> & {
  /** `BUCKET/PATH/NAME.manifest.xml` */
  imageLocation: string
  /** What it leaves out is the manifest's. */
  architecture: string | null
  rootDeviceName: string | null
  tags: readonly Tag[]
}

const kind = 'verify-bundle'
const defaultRoot = '/dev/sda1'

export class InstanceStoreImages {
  readonly #deps: CloudDeps
  readonly #images: Images
  readonly #snapshots: Snapshots
  readonly #bundles: Bundles

  constructor(deps: CloudDeps, rooms: { images: Images; snapshots: Snapshots; bundles: Bundles }) {
    this.#deps = deps
    this.#images = rooms.images
    this.#snapshots = rooms.snapshots
    this.#bundles = rooms.bundles
    deps.operations.register(verifyOperation(deps, rooms.bundles))
  }

  /** The id of the new image, which is `pending`. */
  async register(scope: Scope, request: RegisterBundleRequest): Promise<string> {
    checkImageText(request.name, request.description)
    const bundle = await this.#bundles.read(scope, request.imageLocation)
    const { place, manifest, manifestHash } = bundle
    const architecture = architectureOf(bundle, request.architecture)
    const rootDeviceName = request.rootDeviceName ?? rootOf(bundle)
    const devices = await this.#devicesOf(scope, bundle, request.devices, rootDeviceName)
    const image = {
      ...this.#images.pendingRow(scope, {
        ...{ name: request.name, description: request.description, architecture, rootDeviceName },
        ...{ virtualizationType: request.virtualizationType, enaSupport: request.enaSupport ? 1 : 0 },
        ...{ sriovNetSupport: request.sriovNetSupport, bootMode: request.bootMode },
        ...{ imdsSupport: request.imdsSupport, tpmSupport: request.tpmSupport, platformDetails: 'Linux/UNIX' },
      }),
      rootDeviceType: 'instance-store' as const,
      ...{ imageLocation: `${place.bucket}/${place.key}`, manifestHash },
      ...{ bundleBytes: manifest.image.bundledSizeBytes, rootBytes: manifest.image.sizeBytes },
    }
    const { state, operations } = this.#deps
    await state.transaction(async (tx) => {
      await checkNameIsFree(tx, scope, request.name)
      await this.#snapshots.checkUsable(tx, scope, devices)
      await tx.images.insert(image, devices)
      await tx.tags.put({ id: image.id, type: 'image', ...scope }, request.tags)
      await operations.enqueue(tx, { kind, subjectId: image.id, ...scope, input: {} })
    })
    operations.wake()
    return image.id
  }

  /** The manifest's ephemeral disks, under what the request says. The root is the bundle itself. */
  async #devicesOf(
    scope: Scope,
    { manifest }: ReadBundle,
    wishes: readonly DeviceWish[],
    rootDeviceName: string,
  ): Promise<Device[]> {
    const onRoot = wishes.find(({ deviceName }) => deviceName === rootDeviceName)
    if (onRoot) {
      throw new KilnError(
        'InvalidBlockDeviceMapping',
        `The root device ${rootDeviceName} of an instance-store image comes from its bundle: BlockDeviceMapping cannot change it`,
      )
    }
    const ephemeral = manifest.blockDeviceMapping
      .filter(({ virtual }) => /^ephemeral\d{1,2}$/.test(virtual))
      .map(({ virtual, device }): DeviceWish => ({ ...deviceNamed(device), noDevice: false, virtualName: virtual }))
    const misplaced = ephemeral.find(({ deviceName }) => deviceName === rootDeviceName)
    if (misplaced) {
      throw new KilnError(
        'InvalidManifest',
        `The manifest maps ${misplaced.virtualName} at ${rootDeviceName}, where the root is`,
      )
    }
    const present = await mergeDevices([], ephemeral, neverASnapshot)
    return await mergeDevices(present, wishes, async (id) => {
      const snapshot = await this.#snapshots.get(scope, id)
      if (snapshot.state === 'completed') return snapshot
      throw new KilnError('IncorrectState', `Snapshot '${id}' is ${snapshot.state}: an image needs a completed one`)
    })
  }
}

function verifyOperation(deps: CloudDeps, bundles: Bundles): OperationKind<Record<string, never>, unknown> {
  return {
    kind,
    lane: 'bundles',
    steps: [
      {
        name: 'verify',
        run: (context) => verifyBundle(deps, bundles, context),
      },
      { name: 'available', run: ({ subjectId }) => becomeAvailable(deps, subjectId) },
    ],
    fail: ({ subjectId }, { message }) => becomeFailed(deps, subjectId, message, 'Client.InvalidManifest'),
  }
}

/** Reads the bundle of a pending image to its end. Throws OperationFailure with part, place and digest. */
export async function verifyBundle(
  deps: CloudDeps,
  bundles: Bundles,
  { subjectId, progress, signal }: StepContext<unknown, unknown>,
): Promise<void> {
  const image = await deps.state.images.get(subjectId)
  if (image?.state !== 'pending') return
  let told = 0
  let telling = Promise.resolve()
  const onProgress = (bytes: number, ofBytes: number) => {
    const percent = Math.floor((99 * bytes) / ofBytes)
    if (percent < told + 5) return
    told = percent
    telling = telling.then(() => progress(percent))
    telling.catch(() => {})
  }
  await explained(async () => {
    // Whatever comes out: reading to the end is the proof.
    for await (const _ of bundles.openImage(image, { signal, onProgress })) signal.throwIfAborted()
    await telling
  })
}

function architectureOf({ manifest, place }: ReadBundle, asked: string | null): string {
  if (asked !== null && asked !== manifest.architecture) {
    throw new KilnError(
      'InvalidParameterCombination',
      `Architecture is '${asked}', and the manifest '${place.bucket}/${place.key}' says '${manifest.architecture}'`,
    )
  }
  if (manifest.architecture === 'x86_64') return manifest.architecture
  throw new KilnError(
    'UnsupportedOperation',
    `Architecture '${manifest.architecture}' of the manifest is not supported on this host: x86_64 is`,
  )
}

function rootOf({ manifest }: ReadBundle): string {
  const named = (virtual: string) => manifest.blockDeviceMapping.find((mapping) => mapping.virtual === virtual)?.device
  const device = named('root') ?? named('ami')
  if (device === undefined) return defaultRoot
  return deviceNamed(device).deviceName
}

function deviceNamed(device: string): { deviceName: string } {
  const deviceName = device.startsWith('/dev/') ? device : `/dev/${device}`
  if (devicePattern.test(deviceName)) return { deviceName }
  throw new KilnError('InvalidManifest', `The manifest maps the device '${device}', which is no device name`)
}

const neverASnapshot = async (): Promise<never> => {
  throw new Error('an ephemeral disk has no snapshot')
}
