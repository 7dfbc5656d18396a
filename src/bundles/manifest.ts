/**
 * The manifest of a bundle, version 2007-10-10, as the EC2 AMI tools write it: what the image is, how its key is sealed,
 * which parts it lies in, and a signature over all of that. `docs/formats/bundle.md` specifies it.
 *
 * What is read here may come from anybody. The document is small and flat, and whatever XML can do beyond elements,
 * attributes and text (document types, entities of its own, CDATA, comments, instructions) is refused: the signature is
 * over the text, and there must be one way to read it.
 */
import { XMLParser } from 'fast-xml-parser'
import { BadBundle } from './bad-bundle.ts'

/** A larger manifest is refused before it is read. One of 10 GiB in parts of 10 MiB has 200 KiB. */
export const manifestMaxBytes = 1024 * 1024
export const partBytes = 10 * 1024 * 1024
export const manifestVersion = '2007-10-10'

export interface BundlePart {
  index: number
  /** Beside the manifest: a plain name. */
  filename: string
  /** Of the part as it lies there; hexadecimal. */
  digestSha1: string
}

export interface BundledImage {
  name: string
  /** The account that bundled it: 12 digits. */
  user: string
  type: string
  /** Of the tar stream that holds the image; hexadecimal. */
  digestSha1: string
  /** Bytes of the image itself. */
  sizeBytes: number
  /** Bytes of all parts together. */
  bundledSizeBytes: number
  /** Key and initialization vector for the cloud and for the user: hexadecimal, sealed with RSA. */
  ec2EncryptedKey: string
  ec2EncryptedIv: string
  userEncryptedKey: string
  userEncryptedIv: string
  parts: readonly BundlePart[]
}

export interface BundleManifest {
  version: string
  bundler: { name: string; version: string; release: string }
  architecture: string
  /** `ami`, `root`, `ephemeral0` …, and the device that each is. */
  blockDeviceMapping: readonly { virtual: string; device: string }[]
  kernelId: string | null
  ramdiskId: string | null
  productCodes: readonly string[]
  image: BundledImage
  /** Hexadecimal. */
  signature: string
}

export type UnsignedManifest = Omit<BundleManifest, 'signature'>

export const partsMax = 2048
const mappingsMax = 64

const parser = new XMLParser({
  ignoreAttributes: false,
  attributeNamePrefix: '@',
  parseTagValue: false,
  parseAttributeValue: false,
  trimValues: true,
  ignoreDeclaration: true,
  alwaysCreateTextNode: true,
  isArray: (name) => ['mapping', 'part', 'product_code'].includes(name),
  maxNestedTags: 8,
})

type Node = { readonly [name: string]: unknown }

/** Throws {@link BadBundle} with the reason. Says nothing of who signed it. */
export function parseManifest(document: string | Uint8Array): BundleManifest {
  const text = textOf(document)
  let tree: Node
  try {
    tree = parser.parse(text, true) as Node
  } catch (cause) {
    throw new BadBundle('the manifest is not well-formed XML', { cause })
  }
  const manifest = one(tree, 'manifest')
  const version = read(manifest, 'version')
  if (version !== manifestVersion) {
    throw new BadBundle(`the manifest has version '${version.slice(0, 32)}', not ${manifestVersion}`)
  }
  const machine = one(manifest, 'machine_configuration')
  const image = one(manifest, 'image')
  const bundler = optional(manifest, 'bundler')
  return {
    version,
    bundler: {
      name: maybe(bundler, 'name') ?? '',
      version: maybe(bundler, 'version') ?? '',
      release: maybe(bundler, 'release') ?? '',
    },
    architecture: matching(read(machine, 'architecture'), /^[a-z0-9_]{1,16}$/, 'architecture'),
    blockDeviceMapping: listOf(optional(machine, 'block_device_mapping'), 'mapping', mappingsMax).map((mapping) => ({
      virtual: matching(read(mapping, 'virtual'), /^[a-z0-9]{1,32}$/, 'virtual'),
      device: matching(read(mapping, 'device'), /^[a-zA-Z0-9/]{1,64}$/, 'device'),
    })),
    kernelId: maybe(machine, 'kernel_id') || null,
    ramdiskId: maybe(machine, 'ramdisk_id') || null,
    productCodes: listOf(optional(machine, 'product_codes'), 'product_code', mappingsMax).map(contentOf),
    image: readImage(image),
    signature: hex(read(manifest, 'signature'), 'signature'),
  }
}

/** What the signature is over: both elements as they stand in the document, one after the other. */
export function signedText(document: string | Uint8Array): string {
  const text = textOf(document)
  return elementText(text, 'machine_configuration') + elementText(text, 'image')
}

export function writeManifest(manifest: UnsignedManifest, sign: (text: string) => string): string {
  const signed = [machineConfiguration(manifest), imageElement(manifest.image)]
  const { name, version, release } = manifest.bundler
  const bundler = `<bundler>${element('name', name)}${element('version', version)}${element('release', release)}</bundler>`
  const inside = [element('version', manifest.version), bundler, ...signed, element('signature', sign(signed.join('')))]
  return `<?xml version="1.0"?><manifest>${inside.join('')}</manifest>\n`
}

function machineConfiguration(manifest: UnsignedManifest): string {
  const mappings = manifest.blockDeviceMapping.map(
    ({ virtual, device }) => `<mapping>${element('virtual', virtual)}${element('device', device)}</mapping>`,
  )
  const codes = manifest.productCodes.map((code) => element('product_code', code))
  const children = [
    element('architecture', manifest.architecture),
    ...(mappings.length > 0 ? [`<block_device_mapping>${mappings.join('')}</block_device_mapping>`] : []),
    ...(manifest.kernelId ? [element('kernel_id', manifest.kernelId)] : []),
    ...(manifest.ramdiskId ? [element('ramdisk_id', manifest.ramdiskId)] : []),
    ...(codes.length > 0 ? [`<product_codes>${codes.join('')}</product_codes>`] : []),
  ]
  return `<machine_configuration>${children.join('')}</machine_configuration>`
}

function imageElement(image: BundledImage): string {
  const parts = image.parts.map(
    ({ index, filename, digestSha1 }) =>
      `<part index="${index}">${element('filename', filename)}<digest algorithm="SHA1">${digestSha1}</digest></part>`,
  )
  const children = [
    element('name', image.name),
    element('user', image.user),
    element('type', image.type),
    `<digest algorithm="SHA1">${image.digestSha1}</digest>`,
    element('size', String(image.sizeBytes)),
    element('bundled_size', String(image.bundledSizeBytes)),
    `<ec2_encrypted_key algorithm="AES-128-CBC">${image.ec2EncryptedKey}</ec2_encrypted_key>`,
    `<user_encrypted_key algorithm="AES-128-CBC">${image.userEncryptedKey}</user_encrypted_key>`,
    element('ec2_encrypted_iv', image.ec2EncryptedIv),
    element('user_encrypted_iv', image.userEncryptedIv),
    `<parts count="${image.parts.length}">${parts.join('')}</parts>`,
  ]
  return `<image>${children.join('')}</image>`
}

function readImage(image: Node): BundledImage {
  const container = one(image, 'parts')
  const count = whole(attribute(container, 'count'), 'parts count', partsMax)
  const parts = listOf(container, 'part', partsMax).map((part) => ({
    index: whole(attribute(part, 'index'), 'part index', partsMax),
    filename: partName(read(part, 'filename')),
    digestSha1: sha1(one(part, 'digest'), 'digest of a part'),
  }))
  parts.sort((a, b) => a.index - b.index)
  if (parts.length === 0 || parts.length !== count) {
    throw new BadBundle(`the manifest lists ${parts.length} parts and says that there are ${count}`)
  }
  for (const [place, { index }] of parts.entries()) {
    if (place !== index) throw new BadBundle(`the manifest lists no part ${place}, or one twice`)
  }
  if (new Set(parts.map(({ filename }) => filename)).size !== parts.length) {
    throw new BadBundle('the manifest lists one file as two parts')
  }
  return {
    name: matching(read(image, 'name'), /^[^/\\\p{Cc}]{1,255}$/u, 'name'),
    user: matching(read(image, 'user').replaceAll('-', ''), /^\d{12}$/, 'user'),
    type: matching(read(image, 'type'), /^[a-z]{1,16}$/, 'type'),
    digestSha1: sha1(one(image, 'digest'), 'digest of the image'),
    sizeBytes: whole(read(image, 'size'), 'size'),
    bundledSizeBytes: whole(read(image, 'bundled_size'), 'bundled_size'),
    ec2EncryptedKey: sealed(one(image, 'ec2_encrypted_key'), 'ec2_encrypted_key'),
    ec2EncryptedIv: hex(read(image, 'ec2_encrypted_iv'), 'ec2_encrypted_iv'),
    userEncryptedKey: sealed(one(image, 'user_encrypted_key'), 'user_encrypted_key'),
    userEncryptedIv: hex(read(image, 'user_encrypted_iv'), 'user_encrypted_iv'),
    parts,
  }
}

function textOf(document: string | Uint8Array): string {
  const bytes = typeof document === 'string' ? Buffer.byteLength(document) : document.length
  if (bytes > manifestMaxBytes) throw tooLarge()
  let text: string
  try {
    text = typeof document === 'string' ? document : new TextDecoder('utf-8', { fatal: true }).decode(document)
  } catch (cause) {
    throw new BadBundle('the manifest is not UTF-8', { cause })
  }
  const body = text.replace(/^\s*<\?xml [^<>]*\?>/, '')
  if (body.includes('<!') || body.includes('<?')) {
    throw new BadBundle(
      'the manifest holds a document type, a comment, CDATA or an instruction: only elements are read',
    )
  }
  return text
}

export const tooLarge = () => new BadBundle(`the manifest is larger than ${manifestMaxBytes} bytes`)

/** Exactly one element of that name may stand in the document, or what is signed is not what is read. */
function elementText(text: string, name: string): string {
  const opening = [...text.matchAll(new RegExp(`<${name}[\\s>]`, 'g'))]
  const closing = [...text.matchAll(new RegExp(`</${name}\\s*>`, 'g'))]
  const [start, end] = [opening[0], closing[0]]
  if (opening.length !== 1 || closing.length !== 1 || !start || !end || end.index < start.index) {
    throw new BadBundle(`the manifest must have one ${name} element`)
  }
  return text.slice(start.index, end.index + end[0].length)
}

function optional(node: Node | undefined, name: string): Node | undefined {
  if (!node || !Object.hasOwn(node, name)) return undefined
  const value = node[name]
  if (Array.isArray(value) || typeof value !== 'object' || value === null) {
    throw new BadBundle(`the manifest must have one ${name} element in its place`)
  }
  return value as Node
}

function one(node: Node, name: string): Node {
  const found = optional(node, name)
  if (!found) throw new BadBundle(`the manifest has no ${name} element in its place`)
  return found
}

function listOf(node: Node | undefined, name: string, max: number): Node[] {
  const list = node && Object.hasOwn(node, name) ? (node[name] as Node[]) : []
  if (list.length > max) throw new BadBundle(`the manifest lists more than ${max} ${name} elements`)
  return list
}

const contentOf = (node: Node): string => String(node['#text'] ?? '')

const read = (node: Node, name: string): string => contentOf(one(node, name))

function maybe(node: Node | undefined, name: string): string | undefined {
  const found = optional(node, name)
  return found && contentOf(found)
}

function attribute(node: Node, name: string): string {
  const value = node[`@${name}`]
  if (typeof value !== 'string') throw new BadBundle(`an element of the manifest has no attribute ${name}`)
  return value
}

function matching(value: string, pattern: RegExp, name: string): string {
  if (!pattern.test(value)) throw new BadBundle(`the manifest's ${name} cannot be '${value.slice(0, 64)}'`)
  return value
}

function whole(value: string, name: string, max = Number.MAX_SAFE_INTEGER): number {
  const number = /^\d{1,16}$/.test(value) ? Number(value) : Number.NaN
  if (!(number <= max)) throw new BadBundle(`the manifest's ${name} cannot be '${value.slice(0, 32)}'`)
  return number
}

function hex(value: string, name: string): string {
  if (!/^([0-9a-fA-F]{2}){1,1024}$/.test(value)) throw new BadBundle(`the manifest's ${name} is not hexadecimal`)
  return value.toLowerCase()
}

function sha1(node: Node, name: string): string {
  const algorithm = attribute(node, 'algorithm')
  if (algorithm.toUpperCase() !== 'SHA1') {
    throw new BadBundle(`the manifest's ${name} is by '${algorithm.slice(0, 32)}', not by SHA1`)
  }
  return matching(contentOf(node).toLowerCase(), /^[0-9a-f]{40}$/, name)
}

function sealed(node: Node, name: string): string {
  const algorithm = attribute(node, 'algorithm')
  if (algorithm.toUpperCase() !== 'AES-128-CBC') {
    throw new BadBundle(`the manifest's ${name} is for '${algorithm.slice(0, 32)}', not for AES-128-CBC`)
  }
  return hex(contentOf(node), name)
}

/** A part lies beside the manifest: a name that leads elsewhere is refused. */
function partName(value: string): string {
  return matching(value, /^(?!\.{1,2}$)[^/\\\p{Cc}]{1,255}$/u, 'name of a part')
}

function element(name: string, text: string): string {
  return `<${name}>${escaped(text)}</${name}>`
}

const escaped = (text: string) => text.replace(/[&<>"']/g, (sign) => `&#${sign.charCodeAt(0)};`)
