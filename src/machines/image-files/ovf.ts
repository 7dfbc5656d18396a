/** The disks that an OVF descriptor gives its machine, in the order of their places on the controllers. */
import { XMLParser } from 'fast-xml-parser'
import { messageOf } from '../../lib/errors.ts'
import { UnusableImage } from '../../lib/unusable-image.ts'

export interface OvfDisk {
  /** As the descriptor says it. */
  href: string
  /** A plain file name: what lies elsewhere is refused. */
  fileName: string
}

/** CIM's resource types: what an item of the machine's hardware is. */
const diskDrive = '17'
const disksMax = 24

interface Xml {
  [name: string]: unknown
}

/** Throws {@link UnusableImage}. */
export function disksOfOvf(text: string): OvfDisk[] {
  const envelope = parse(text).Envelope as Xml | undefined
  if (!isElement(envelope)) throw new UnusableImage('an OVF without an Envelope')
  const files = new Map(elements(envelope, 'References', 'File').map((file) => [textOf(file['@id']), file]))
  const disks = new Map(elements(envelope, 'DiskSection', 'Disk').map((disk) => [textOf(disk['@diskId']), disk]))
  const order = drivesOf(envelope)
  // A descriptor without hardware has its disks in the order in which it lists them.
  const ids = order.length > 0 ? order : [...disks.keys()]
  if (ids.length === 0) throw new UnusableImage('an OVF of a machine without disks')
  if (ids.length > disksMax) throw new UnusableImage(`an OVF of a machine with more than ${disksMax} disks`)
  return ids.map((id) => {
    const disk = disks.get(id)
    if (!disk) throw new UnusableImage(`an OVF whose hardware names the disk '${id}', which it does not describe`)
    if (disk['@parentRef'] !== undefined) throw new UnusableImage(`an OVF whose disk '${id}' has a parent disk`)
    const file = files.get(textOf(disk['@fileRef']))
    if (!file) throw new UnusableImage(`an OVF whose disk '${id}' refers to no file`)
    return fileOf(file)
  })
}

function parse(text: string): Xml {
  // Entities can make a small text large, and lead to other files.
  if (/<!DOCTYPE/i.test(text)) throw new UnusableImage('an OVF with a document type, which may hold entities')
  const parser = new XMLParser({
    ignoreAttributes: false,
    attributeNamePrefix: '@',
    removeNSPrefix: true,
    processEntities: false,
    parseTagValue: false,
    parseAttributeValue: false,
  })
  try {
    return parser.parse(text, true) as Xml
  } catch (error) {
    throw new UnusableImage(`an OVF that is no XML: ${messageOf(error)}`, { cause: error })
  }
}

/** The ids of the disks that the hardware has, by controller and then by place on it. */
function drivesOf(envelope: Xml): string[] {
  const systems = elements(envelope, 'VirtualSystem')
  if (systems.length > 1 || envelope.VirtualSystemCollection !== undefined) {
    throw new UnusableImage('an OVF of several machines: one at a time can be imported')
  }
  const items = systems.flatMap((system) => elements(system, 'VirtualHardwareSection', 'Item'))
  const controllerPlaces = new Map(items.map((item) => [textOf(item.InstanceID), numberOf(item.Address)]))
  const drives = items
    .filter((item) => textOf(item.ResourceType) === diskDrive)
    .map((item) => ({
      id: textOf(item.HostResource).replace(/^(ovf:)?\/?\/?disk\//, ''),
      controller: controllerPlaces.get(textOf(item.Parent)) ?? 0,
      parent: numberOf(item.Parent),
      place: numberOf(item.AddressOnParent),
    }))
  return drives
    .sort((a, b) => a.controller - b.controller || a.parent - b.parent || a.place - b.place)
    .map((drive) => drive.id)
}

function fileOf(file: Xml): OvfDisk {
  const href = textOf(file['@href'])
  const compression = textOf(file['@compression'])
  if (compression !== '' && compression !== 'identity') {
    throw new UnusableImage(`an OVF whose file '${href}' is compressed (${compression}): unpack it first`)
  }
  if (file['@chunkSize'] !== undefined) throw new UnusableImage(`an OVF whose file '${href}' lies in several pieces`)
  if (href === '' || /[/\\\0]|^\.\.?$|^[a-z][a-z0-9+.-]*:/i.test(href)) {
    throw new UnusableImage(`an OVF whose disk '${href.slice(0, 100)}' lies outside of the archive`)
  }
  return { href, fileName: href }
}

/** All elements at the end of that path, whether one or many. */
function elements(from: Xml, ...path: string[]): Xml[] {
  const [name, ...rest] = path
  const found = [from[name!]].flat().filter(isElement)
  return rest.length === 0 ? found : found.flatMap((element) => elements(element, ...rest))
}

const isElement = (value: unknown): value is Xml => typeof value === 'object' && value !== null && !Array.isArray(value)

function textOf(value: unknown): string {
  if (Array.isArray(value)) return textOf(value[0])
  if (isElement(value)) return textOf(value['#text'])
  return typeof value === 'string' ? value.trim() : ''
}

const numberOf = (value: unknown) => Number.parseInt(textOf(value) || '0', 10) || 0
