#define LTX_PAGES_BLOCK ...
#define LTX_PAGES_FRAME ...

typedef struct {
    uint32_t flags, page_size, commit;
    uint64_t min_txid, max_txid;
    int64_t timestamp_ms;
    uint64_t pre_apply;
    int64_t wal_offset, wal_size;
    uint32_t salt1, salt2;
    uint64_t node_id;
    uint8_t reserved[20];
} ltx_header;

typedef struct {
    uint64_t post_apply, file_checksum;
} ltx_trailer;

typedef struct {
    int code;
    uint32_t pgno;
    uint64_t offset;
} ltx_fault;

void ltx_header_pack(const ltx_header *header, uint8_t *out);
int ltx_header_unpack(const uint8_t *in, ltx_header *header);
int ltx_header_validate(const ltx_header *header);
uint64_t ltx_header_offset(int code);
int ltx_trailer_unpack(const uint8_t *in, const ltx_header *header, ltx_trailer *trailer);
