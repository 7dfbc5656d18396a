/** An OVA of a machine's disks: what VMware, VirtualBox and EC2 itself import. Source: DMTF DSP0243. */
import { createHash } from 'node:crypto'
import { createReadStream, createWriteStream } from 'node:fs'
import { rm, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { type Pack, pack } from 'tar-stream'
import type { DiskToWrite, ImageFileTools } from '../driver.ts'

type Progress = NonNullable<Parameters<ImageFileTools['write']>[1]>
type WriteDisk = (disk: DiskToWrite, path: string, progress: Progress) => Promise<void>

interface WrittenDisk {
  fileName: string
  path: string
  fileBytes: number
  capacityBytes: number
}

/** What of the work each part is, as it is shown. */
const convertShare = 0.8

/** Writes the disks one by one with `writeDisk` (streamOptimized VMDKs) beside `path`, then packs them. */
export async function writeOva(
  request: { disks: readonly DiskToWrite[]; path: string; name: string },
  writeDisk: WriteDisk,
  progress: Progress,
): Promise<void> {
  const { disks, path, name } = request
  const written: WrittenDisk[] = []
  try {
    for (const [index, disk] of disks.entries()) {
      const part = `${path}.disk${index + 1}`
      written.push({
        fileName: `${name}-disk${index + 1}.vmdk`,
        path: part,
        fileBytes: 0,
        capacityBytes: disk.sizeBytes,
      })
      await writeDisk(disk, part, {
        signal: progress.signal,
        onPercent: (percent) => progress.onPercent?.(((index + percent / 100) / disks.length) * 100 * convertShare),
      })
      written.at(-1)!.fileBytes = (await stat(part)).size
    }
    await packAll(path, name, written, progress)
  } finally {
    for (const disk of written) await rm(disk.path, { force: true })
  }
}

async function packAll(path: string, name: string, disks: readonly WrittenDisk[], { onPercent, signal }: Progress) {
  const archive = pack()
  // The first entry of an OVA is its descriptor; digests of all stand at the end.
  const descriptor = ovfOf(name, disks)
  const fill = async () => {
    const digests = [`SHA256(${name}.ovf)= ${createHash('sha256').update(descriptor).digest('hex')}`]
    await addText(archive, `${name}.ovf`, descriptor)
    const totalBytes = disks.reduce((sum, disk) => sum + disk.fileBytes, 0)
    let doneBytes = 0
    for (const disk of disks) {
      const hash = createHash('sha256')
      const entry = archive.entry({ name: disk.fileName, size: disk.fileBytes, mode: 0o644 })
      await pipeline(
        createReadStream(disk.path, { highWaterMark: 1024 * 1024 }),
        async function* (pieces: AsyncIterable<Buffer>) {
          for await (const piece of pieces) {
            hash.update(piece)
            doneBytes += piece.length
            void Promise.resolve(
              onPercent?.(100 * (convertShare + (1 - convertShare) * (doneBytes / totalBytes))),
            ).catch(() => {})
            yield piece
          }
        },
        entry,
        { signal },
      )
      digests.push(`SHA256(${disk.fileName})= ${hash.digest('hex')}`)
    }
    await addText(archive, `${name}.mf`, `${digests.join('\n')}\n`)
    archive.finalize()
  }
  await Promise.all([pipeline(archive, createWriteStream(path), { signal }), fill()])
}

function addText(archive: Pack, name: string, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    archive.entry({ name, mode: 0o644 }, text, (error) => (error ? reject(error) : resolve()))
  })
}

const escapedXml = (text: string) =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;')

/** A small machine: one processor and one SCSI controller, to be changed by whoever imports it. */
function ovfOf(name: string, disks: readonly WrittenDisk[]): string {
  const files = disks.map(
    ({ fileName, fileBytes }, i) => `<File ovf:id="file${i + 1}" ovf:href="${fileName}" ovf:size="${fileBytes}"/>`,
  )
  const format = 'http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized'
  const described = disks.map(
    ({ capacityBytes }, i) =>
      `<Disk ovf:diskId="vmdisk${i + 1}" ovf:fileRef="file${i + 1}" ovf:capacity="${capacityBytes}" ovf:capacityAllocationUnits="byte" ovf:format="${format}"/>`,
  )
  const drives = disks.map((_, i) =>
    item([
      ['AddressOnParent', i],
      ['ElementName', `Disk ${i + 1}`],
      ['HostResource', `ovf:/disk/vmdisk${i + 1}`],
      ['InstanceID', 10 + i],
      ['Parent', 3],
      ['ResourceType', 17],
    ]),
  )
  return `<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
<References>${files.join('')}</References>
<DiskSection><Info>Virtual disks</Info>${described.join('')}</DiskSection>
<VirtualSystem ovf:id="${escapedXml(name)}"><Info>A virtual machine</Info><Name>${escapedXml(name)}</Name>
<OperatingSystemSection ovf:id="101"><Info>The operating system</Info></OperatingSystemSection>
<VirtualHardwareSection><Info>Virtual hardware</Info>
${[
  item([
    ['ElementName', '1 virtual CPU'],
    ['InstanceID', 1],
    ['ResourceType', 3],
    ['VirtualQuantity', 1],
  ]),
  item([
    ['AllocationUnits', 'byte * 2^20'],
    ['ElementName', '1024 MiB of memory'],
    ['InstanceID', 2],
    ['ResourceType', 4],
    ['VirtualQuantity', 1024],
  ]),
  item([
    ['Address', 0],
    ['ElementName', 'SCSI controller 0'],
    ['InstanceID', 3],
    ['ResourceSubType', 'lsilogic'],
    ['ResourceType', 6],
  ]),
  ...drives,
].join('\n')}
</VirtualHardwareSection></VirtualSystem></Envelope>
`
}

const item = (members: readonly (readonly [string, string | number])[]) =>
  `<Item>${members.map(([name, value]) => `<rasd:${name}>${value}</rasd:${name}>`).join('')}</Item>`
