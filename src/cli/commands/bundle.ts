/** `kiln bundle …`: instance-store bundles from a disk's file or a running instance, into buckets and out of them. */
import { randomBytes } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, open, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import type { Command } from 'commander'
import { createBundle } from '../../bundles/bundle.ts'
import { openDisk } from '../../bundles/disk-source.ts'
import type { Identity } from '../../bundles/identity.ts'
import { readPrivateKey } from '../../bundles/identity.ts'
import { type BundleManifest, manifestMaxBytes, parseManifest } from '../../bundles/manifest.ts'
import { openKey } from '../../bundles/seals.ts'
import { openBundle } from '../../bundles/unbundle.ts'
import { systemClock } from '../../lib/clock.ts'
import { version } from '../../lib/version.ts'
import { credentialsFor, Ec2Client } from '../client.ts'
import { daemonOf } from '../daemon.ts'
import { UsageError } from '../failure.ts'
import { showLine } from '../jobs.ts'
import { accountOption, homeOption, jsonOption, readInstanceId, regionOption } from '../options.ts'
import { print, printJson, size } from '../render.ts'
import { Services } from '../services.ts'
import { readPair, signerOf } from '../signer.ts'
import { cloudCertificate } from './cert.ts'

interface Flags {
  home: string
  region: string
  account: string
  json?: boolean
}

interface PairFlags {
  cert?: string
  privatekey?: string
}

const rawMagics: readonly (readonly [magic: string, format: string])[] = [
  ['QFI\u00fb', 'qcow2'],
  ['KDMV', 'VMDK'],
  ['vhdxfile', 'VHDX'],
]
const pollMs = 500

export function addBundles(program: Command): void {
  const bundle = program
    .command('bundle')
    .description('bundles of instance-store images, as the EC2 AMI tools make them')
  const add = (name: string, description: string) =>
    bundle
      .command(name)
      .description(description)
      .addOption(homeOption())
      .addOption(regionOption())
      .addOption(accountOption())
      .addOption(jsonOption())
  const signed = (command: Command) =>
    command
      .option('--cert <file>', 'your certificate (default: your own pair, made on first use)')
      .option('--privatekey <file>', 'its private key')
  signed(add('image', "make a bundle of a raw disk's file").argument('<file>', 'a bootable disk, raw'))
    .option('--destination <dir>', 'where the bundle goes', '.')
    .option('--prefix <name>', 'what the bundle is called (default: as the file)')
    .option('--ec2cert <file>', "the cloud's certificate (default: asked of the cloud)")
    .action(bundleImage)
  add('instance', 'let the cloud bundle the root of a running instance into a bucket')
    .argument('<instance>', 'i-… with 17 digits', readInstanceId)
    .argument('<bucket>')
    .option('--prefix <name>', "what the bundle's objects begin with", 'image')
    .action(bundleInstance)
  add('upload', 'put a bundle into a bucket')
    .argument('<manifest>', 'NAME.manifest.xml; the parts lie beside it')
    .argument('<bucket>', 'BUCKET, or BUCKET/PREFIX')
    .action(upload)
  add('download', 'fetch a bundle from a bucket')
    .argument('<location>', 'BUCKET/PREFIX/NAME.manifest.xml')
    .option('--destination <dir>', 'where it goes', '.')
    .action(download)
  signed(add('unbundle', "write a bundle's disk into a file").argument('<manifest>').argument('<file>')).action(
    unbundle,
  )
  add('delete', 'remove a bundle from its bucket')
    .argument('<location>', 'BUCKET/PREFIX/NAME.manifest.xml')
    .action(remove)
}

async function bundleImage(
  file: string,
  flags: Flags & PairFlags & { destination: string; prefix?: string; ec2cert?: string },
): Promise<void> {
  await checkRaw(file)
  const signer = await pairOf(flags)
  const cloudCertificatePem = flags.ec2cert ? await readFile(flags.ec2cert, 'utf8') : await cloudCertificate(flags.home)
  const name = flags.prefix ?? basename(file).replace(/\.(raw|img)$/, '')
  await mkdir(flags.destination, { recursive: true })
  const disk = await openDisk(file)
  const { document, manifest } = await createBundle({
    image: disk,
    ...{ name, user: flags.account, architecture: 'x86_64' },
    bundler: { name: 'kiln', version, release: '' },
    blockDeviceMapping: [
      { virtual: 'ami', device: 'sda1' },
      { virtual: 'root', device: '/dev/sda1' },
    ],
    key: { key: randomBytes(16), iv: randomBytes(16) },
    ...{ userCertificatePem: signer.certificate, cloudCertificatePem, signingKey: readPrivateKey(signer.privateKey) },
    writePart: (filename, bytes) => writeFile(join(flags.destination, filename), bytes),
    onProgress: (bytes, ofBytes) => showLine(`bundling ${file} … ${Math.floor((100 * bytes) / ofBytes)}%`),
  }).finally(() => disk.close())
  showLine('')
  const manifestPath = join(flags.destination, `${name}.manifest.xml`)
  await writeFile(manifestPath, document)
  const { parts, bundledSizeBytes } = manifest.image
  if (flags.json) return printJson({ manifest: manifestPath, parts: parts.length, bundledSizeBytes })
  print(`${manifestPath}: ${parts.length} parts, ${size(bundledSizeBytes)}`)
  print(`next: kiln bundle upload ${manifestPath} BUCKET`)
}

async function bundleInstance(instanceId: string, bucket: string, flags: Flags & { prefix: string }): Promise<void> {
  const page = await daemonOf(flags.home)
  const ec2 = new Ec2Client({ url: page.url, region: flags.region, credentials: credentialsFor(page, flags.account) })
  const services = new Services(page, flags)
  await services.ensureBucket(bucket)
  const policy = services.uploadPolicy(bucket, flags.prefix)
  const { BundleTask: begun } = await ec2.call('BundleInstance', {
    InstanceId: instanceId,
    Storage: {
      S3: {
        ...{ Bucket: bucket, Prefix: flags.prefix, AWSAccessKeyId: policy.accessKeyId },
        ...{ UploadPolicy: Buffer.from(policy.policy, 'base64'), UploadPolicySignature: policy.signature },
      },
    },
  })
  for (;;) {
    const { BundleTasks: tasks } = await ec2.call('DescribeBundleTasks', { BundleIds: [begun!.BundleId!] })
    const task = tasks![0]!
    if (task.State === 'complete') break
    if (task.State === 'failed' || task.State === 'cancelling') {
      throw new Error(task.BundleTaskError?.Message ?? `${begun!.BundleId} is ${task.State}`)
    }
    showLine(`bundling ${instanceId} … ${task.State} ${task.Progress ?? ''}`)
    await systemClock.sleep(pollMs)
  }
  showLine('')
  const location = `${bucket}/${flags.prefix}.manifest.xml`
  if (flags.json) return printJson({ bundleId: begun!.BundleId, location })
  printRegister(location, flags.prefix)
}

async function upload(manifestPath: string, place: string, flags: Flags): Promise<void> {
  const manifest = await readManifest(manifestPath)
  const [bucket, ...prefix] = place.split('/').filter((part) => part !== '')
  if (!bucket) throw new UsageError('name a bucket: BUCKET, or BUCKET/PREFIX')
  const services = new Services(await daemonOf(flags.home), flags)
  await services.ensureBucket(bucket)
  const keyOf = (name: string) => [...prefix, name].join('/')
  const { parts } = manifest.image
  for (const { filename, index } of parts) {
    showLine(`uploading part ${index + 1} of ${parts.length}`)
    await services.putObject(bucket, keyOf(filename), await readFile(join(dirname(manifestPath), filename)))
  }
  showLine('')
  const key = keyOf(basename(manifestPath))
  // Last: whoever sees the manifest finds all parts.
  await services.putObject(bucket, key, await readFile(manifestPath))
  const location = `${bucket}/${key}`
  if (flags.json) return printJson({ location, parts: parts.length })
  printRegister(location, manifest.image.name)
}

function printRegister(location: string, name: string): void {
  print(location)
  print(`next: aws ec2 register-image --name ${name} --image-location ${location}`)
}

async function download(location: string, flags: Flags & { destination: string }): Promise<void> {
  const { bucket, key, folder } = placeIn(location)
  const services = new Services(await daemonOf(flags.home), flags)
  const document = await services.getObject(bucket, key)
  const { parts } = parseManifest(document).image
  await mkdir(flags.destination, { recursive: true })
  for (const { filename, index } of parts) {
    showLine(`downloading part ${index + 1} of ${parts.length}`)
    await writeFile(join(flags.destination, filename), await services.getObject(bucket, folder + filename))
  }
  showLine('')
  const manifestPath = join(flags.destination, basename(key))
  await writeFile(manifestPath, document)
  if (flags.json) return printJson({ manifest: manifestPath, parts: parts.length })
  print(`${manifestPath}: ${parts.length} parts`)
}

async function unbundle(manifestPath: string, file: string, flags: Flags & PairFlags): Promise<void> {
  const manifest = await readManifest(manifestPath)
  const { userEncryptedKey, userEncryptedIv, bundledSizeBytes } = manifest.image
  const signer = await pairOf(flags)
  const key = openKey({ key: userEncryptedKey, iv: userEncryptedIv }, readPrivateKey(signer.privateKey))
  const image = openBundle({
    ...{ manifest, key },
    readPart: ({ filename }) => createReadStream(join(dirname(manifestPath), filename)),
    onProgress: (bytes) => showLine(`unbundling … ${Math.floor((100 * bytes) / bundledSizeBytes)}%`),
  })
  const unfinished = `${file}.part`
  try {
    await pipeline(image, createWriteStream(unfinished))
    await rename(unfinished, file)
  } finally {
    await rm(unfinished, { force: true })
  }
  showLine('')
  if (flags.json) return printJson({ file, sizeBytes: manifest.image.sizeBytes })
  print(`${file}: ${size(manifest.image.sizeBytes)}`)
}

async function remove(location: string, flags: Flags): Promise<void> {
  const { bucket, key, folder } = placeIn(location)
  const services = new Services(await daemonOf(flags.home), flags)
  const { parts } = parseManifest(await services.getObject(bucket, key)).image
  for (const { filename } of parts) await services.deleteObject(bucket, folder + filename)
  // Last: as long as it is there, the rest can be found and removed again.
  await services.deleteObject(bucket, key)
  if (flags.json) return printJson({ location, parts: parts.length })
  print(`removed ${parts.length} parts and the manifest of ${location}`)
}

/** The files that were named, or the user's own pair. */
async function pairOf(flags: Flags & PairFlags): Promise<Identity> {
  const { cert: certificate, privatekey: privateKey } = flags
  if (certificate === undefined && privateKey === undefined) {
    const services = new Services(await daemonOf(flags.home), flags)
    return await signerOf(flags.account, services, (line) => process.stderr.write(`kiln: ${line}\n`))
  }
  if (certificate === undefined || privateKey === undefined) {
    throw new UsageError('--cert and --privatekey belong together: give both, or neither')
  }
  const pair = await readPair({ certificate, privateKey })
  if (pair) return pair
  throw new UsageError(`${certificate} or ${privateKey} is not there`)
}

async function readManifest(path: string): Promise<BundleManifest> {
  const { size: bytes } = await stat(path)
  if (bytes > manifestMaxBytes) throw new UsageError(`${path} is too large for a manifest`)
  return parseManifest(await readFile(path))
}

function placeIn(location: string): { bucket: string; key: string; folder: string } {
  const [bucket, ...path] = location.replace(/^s3:\/\//, '').split('/')
  const key = path.join('/')
  if (bucket && key) return { bucket, key, folder: key.slice(0, key.lastIndexOf('/') + 1) }
  throw new UsageError(`'${location}' names no manifest: BUCKET/PREFIX/NAME.manifest.xml`)
}

async function checkRaw(path: string): Promise<void> {
  const file = await open(path)
  try {
    const { buffer } = await file.read(Buffer.alloc(16), 0, 16, 0)
    const found = rawMagics.find(([magic]) => buffer.toString('latin1').startsWith(magic))
    if (found) {
      throw new UsageError(
        `${path} is ${found[1]}, and a bundle takes a raw disk: qemu-img convert -O raw makes one of it`,
      )
    }
  } finally {
    await file.close()
  }
}
